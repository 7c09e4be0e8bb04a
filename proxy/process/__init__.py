"""The process: its signals, its configuration file, and what it answers to those who ask.

daemon.py is the process around a fleet: it reads the file (reading.py), says that it is there (start_line.py), and has
operation.py answer at the control sockets. handing_over.py is the way from one process to the next.
"""

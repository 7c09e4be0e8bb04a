"""The process: its signals, its configuration file, and the sockets at which it can be asked.

    reading.py        reads the file and the certificates, in a thread, into a Wish for the fleet
    daemon.py         the process around a fleet: signals, reloads, the end
    handing_over.py   receives VMs from the process before this one, and leaves them to the one after it
    readiness.py      looks, before another process is replaced, whether all files that the VMs need can be used
    operation.py      answers questions and orders at the control sockets, and scrapers
    start_line.py     the log line that says what is served

At the start, the VMs of a previous process are received first, because that decides when this process can open its own sockets:
it opens them at once if nobody has them, and otherwise when the old process has closed them. Then the fleet runs, and once it
is known of each VM whether it is served, the service manager is told that the process is ready. Reloads and the discovery of
VMs take turns by one lock, so the fleet follows one configuration at a time.
"""

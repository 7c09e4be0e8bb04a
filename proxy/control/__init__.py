"""A running proxy is asked how it is: at a socket of its own, which can change nothing, so that whoever looks cannot kill.

status.py is what there is to say of each VM, for programs and for people. server.py answers at the socket, command.py asks
there (`hmp-proxy status`).
"""

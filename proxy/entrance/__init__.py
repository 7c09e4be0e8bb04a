"""Where the clients of one VM come in: its listeners, the path of QEMU's socket, and what is asked of who comes.

front.py has all of a VM's ways in, and opens and closes them as QEMU comes and goes. listeners.py has its sockets, opening.py
makes them, open_listener.py is one of them, inherited.py finds those that somebody else made, and takeover.py has the path that
is QEMU's. doorkeeper.py lets clients in or turns them away, which client_log.py tells.
"""

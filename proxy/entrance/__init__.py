"""Where the clients of one VM come in: its listeners, the path of QEMU's socket, and the terms on which clients may connect.

front.py has all of a VM's entrances, and opens and closes them as QEMU comes and goes. listeners.py has its sockets: opening.py
makes them, open_listener.py is one of them, and inherited.py finds those that somebody else made. takeover.py has the path that
was QEMU's. doorkeeper.py lets clients in or turns them away, which client_log.py logs. What comes out is a connected end and a
Client, for a relay to serve; nothing here knows a command.

The order matters: sockets open when QEMU is connected, and clients are accepted last (`Front.open`, `Front.start`), so that a
client that gets in finds a QEMU behind the proxy.
"""

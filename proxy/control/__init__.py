"""A running proxy is asked how it is, and told what to do, at sockets of its own.

status.py is what there is to say of each VM, table.py says it to people, and exposition.py to Prometheus. protocol.py is what
is spoken at the control sockets. server.py has what is true of each of the sockets, control_socket.py and metrics_server.py are
the two kinds, and share.py says how much of the process those who ask may take.

What is done for who asks is not here but where the VMs are (proxy/process/operation.py).
"""

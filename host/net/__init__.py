"""Addresses and sockets of this machine.

    addresses.py       how addresses are written, and which process is at the other end
    socket_access.py   who may connect to a unix socket: its mode, owner and group
    internet.py        the addresses of a TCP host, tried one after the other
    connecting.py      connecting to QEMU's monitor, and what to say if it does not answer
    parties.py         whose clients are counted together by limits

Nothing here listens; the proxy's own sockets are in proxy/net and proxy/entrance.
"""

"""The sockets at which a running proxy reports its state and takes orders.

    status.py           the state of each VM, as values and as JSON
    table.py            the same as tables for people
    fitting.py          the table of all VMs for a terminal of a certain size
    replacement.py      the process that takes over, if there is one, in both forms
    exposition.py       the same as metrics for Prometheus
    protocol.py         requests and answers at the control sockets
    server.py           what all of these sockets have in common: limits on length, time and number
    control_socket.py   the sockets for questions and for orders
    metrics_server.py   the HTTP server for scrapers
    share.py            limits how much of the event loop answers may take

Nothing here changes a VM: orders are carried out where the VMs are (proxy/process/operation.py).
"""

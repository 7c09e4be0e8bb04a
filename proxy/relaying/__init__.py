"""One connection to QEMU with its clients, the sockets around one router, and what outlasts it.

relay.py feeds the router from the sockets and writes what it says. clients.py has the clients' streams and their limits, and
leaving.py has the clients that have gone and still read. lasting.py holds what a VM's next connection goes on with. slowness.py
tells of what takes long, and notices.py of what the operator shall know. What VMs share is proxy/fairness/'s.
"""

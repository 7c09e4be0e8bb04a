"""One connection to QEMU with its clients, the sockets around one router, and what outlasts it.

relay.py feeds the router from the sockets and writes what it says. clients.py has the clients' streams and their limits,
ledger.py counts what is queued over all VMs, and leaving.py has the clients that have gone and still read. lasting.py holds
what a VM's next connection goes on with. slowness.py tells of what takes long, notices.py of what the
operator shall know, and pace.py has QEMU read in such pieces that other VMs do not wait.
"""

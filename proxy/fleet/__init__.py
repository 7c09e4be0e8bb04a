"""The VMs of a process: which are wanted, and which run.

fleet.py has the VMs, and makes them what they are to be (wish.py), each at its place (place.py). supervision.py keeps one of
them running, audit_logs.py has the logs that they share, and vm_files.py what one of them has open. What takes long is done
beside the event loop (beside.py). outlasting.py keeps a process in which no VM is left, and service_manager.py tells systemd of
it.
"""

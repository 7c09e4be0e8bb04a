"""The process and its VMs: which are wanted, which run, and what signals do to them.

fleet.py has the VMs, and makes them what they are to be (wish.py). supervision.py keeps one of them running, audit_logs.py has
the logs that they share, and vm_files.py what one of them has open. Files are read beside the event loop (beside.py,
reading.py). Where VMs come by themselves, discovery.py has the fleet follow what sockets.py finds when inotify.py hints at a
change. daemon.py is the process around all this, and service_manager.py tells systemd of it.
"""

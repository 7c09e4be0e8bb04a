"""The process and its VMs: which are wanted, which run, and what signals do to them.

fleet.py has the VMs, supervision.py keeps one of them running, audit_logs.py has the logs that they share. daemon.py is the
process around them, and service_manager.py tells systemd of it.
"""

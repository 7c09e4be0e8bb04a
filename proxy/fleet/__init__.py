"""The VMs of a process: which are wanted, and which run.

    wish.py            what a configuration asks for: VMs by key, worked out in a thread
    fleet.py           compares that with what runs, and starts, changes and ends VMs one after the other
    settling.py        the VMs of which it is not known yet whether they are served: few begin at once
    place.py           a VM's place in the fleet; it outlives the proxies that serve the VM in turn
    supervision.py     keeps one VM running, and retries after errors
    vm_files.py        the files that one VM has open
    audit_logs.py      the audit logs, shared by all VMs that write to the same one
    outlasting.py      keeps the process alive while it has no VM
    successor.py       the process that takes over the VMs, and what it has and waits for
    service_manager.py notifies systemd

A change goes in as a Wish and comes out as a list of problems, one for each VM that could not follow it. VMs that move a
listener from one to the other release it before either of them is changed; otherwise VMs do not depend on each other.
"""

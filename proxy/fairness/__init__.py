"""How the VMs of one process share what it has, so that none takes it all.

* Memory (ledger.py): the bytes queued for all clients are counted together; beyond a limit, the client with most is
  disconnected.
* The event loop's time (pace.py): less is read at a time from a QEMU that sends very many small messages.
* Work that can wait (visits.py): looking after what earlier connections left behind is done for one VM after the other.
"""

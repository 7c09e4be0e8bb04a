"""One connection to QEMU with its clients: the sockets around one router, and the state that outlasts the connection.

A relay (relay.py) lives as long as its connection to QEMU. Bytes from the sockets go into the router and the dispatcher
(proxy/routing/). Their outbox is emptied after each read, in the order that proxy/routing/outbox.py prescribes: notices,
records, notes, bytes for QEMU, bytes for clients. So no answer leaves before its record is written.

* clients.py keeps the clients' streams and enforces their limits; leaving.py keeps those that have left but still read.
* lasting.py holds what the VM's next connection goes on with: turns, intents, the audit, counters.py, pausing.py.
* slowness.py logs snapshot commands that take long, silence.py a QEMU that does not answer, and notices.py what else the
  operator should know.
* ending.py and last_reading.py end a relay in good order; quiet.py and carrying.py hand it to another process.
* looking.py describes a relay to whoever asks for its status.

What the VMs of a process share is in proxy/fairness/.
"""

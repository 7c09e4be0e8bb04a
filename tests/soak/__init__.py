"""A soak: random clients and random faults on several VMs for as long as one likes, and a judge that knows what must be there.

`./run soak MINUTES` starts three real VMs (one disk, two disks, two disks with a UEFI varstore that is no qcow2), each on a
small file system of its own, and one proxy for all of them. Then many threads play at once:

* A *driver* for each VM (drivers.py) plays episodes. It writes a pattern to the disks, lets one to three clients (askers.py)
  save, load and delete snapshots under five tags at once, lets a fault (faults.py) strike at a random moment among them, and
  then looks at the disks.
* *Visitors* (clients.py) do what other tools do: look, burst, flood, send garbage or half a command, read slowly, pass
  descriptors, overtake themselves out of band, or leave. Each sees that every answer is its own and its VM's.
* *Strikes* (visitors.py) meet all VMs: the proxy is killed or ended and started again, its log is moved away or cannot grow.

**The judge** (oracle.py) knows no QEMU. HMP's commands are atomic, so what clients sent at once must have come out as in some
order of them. Whoever was cut off does not know whether its command ran: both is possible then, until a look decides. What is
allowed, and what is not:

* A command that was answered has run; one that was not has run wholly or not at all, also when the proxy was killed in it.
* When QEMU is ended in the middle of commands, their own tags may be half done (without a proxy, too), and no other tag may be
  touched. With SIGTERM, and where a tag is replaced by way of an internal one, a whole copy of a replaced tag must be left.
* QEMU 7.2.22 itself crashes now and then (drivers.py says where). It counts as killed, and the figures tell how often. No newer
  one may.
* On a full disk the tags of the commands at hand may be half done, and no other.
* What may be half done is deleted by the proxy, and from then on everything is known again.

Contents are compared after each load, and those of all snapshots whenever a VM is down.

**The end.** The run has two periods, with a close look after each. In the second one the proxy is not ended any more, so that
its memory after the warm-up can be compared with that at the end, and its descriptors with those before. No job of it may be
left, no zombie, and each command that a client saw answered is on record once, or counted in `lost_before`.

Everything follows from the seed but the moments, which are the machine's. What is wrong is a Violation: it says what was
expected and what is there, and the folder stays.
"""

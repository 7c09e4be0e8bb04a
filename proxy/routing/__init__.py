"""Many clients on one QEMU monitor, without I/O: bytes and events in, bytes and things to do out.

**Why a FIFO routes replies.** As far as QEMU knows, a monitor has one client, whose in-band commands it answers in the order in
which it got them. Ids are the client's business: two clients may use the same one, or none. So for each command that is written
to QEMU an entry is put at the end of a queue, and each reply that comes belongs to the first entry (pending.py, router.py). An
entry says who is owed the reply: a session (which gets the bytes unchanged), a plan, or the proxy itself. Three kinds of
message do not follow this order, and each is handled in its own way:

* *Events* are for everybody. Their first bytes distinguish them from replies (qmp_json/messages.py).
* *Out-of-band replies* overtake. Such a command is sent with an id of ours, by which its reply is found, and the client's own
  id is put back into the reply (queues/out_of_band.py).
* *Answers of ours*, such as errors in negotiation, must not overtake the replies that their client is still owed. Such an
  answer stands in the queue as a LocalLine and goes out after the replies before it.

**Why a plan holds up the other clients.** Natively no command of any monitor runs while HMP's savevm does. A plan is several
commands, and a command that falls between them can cost a snapshot: `quit` between the deletion of the old one and the save of
the new. So from a plan's first command to its answer no client's in-band command is written (turns.py). Writing the plan's
commands in one go would not be enough: QEMU let a waiting monitor in between two commands of one write in 70 to 83 % of runs.
Out-of-band commands and events are not held up.

**Who owns what.**

* A *session* (proxy/sessions/) is one client: its negotiation, the commands that it has sent but that have not begun, and the
  bytes that wait for it. Only a session writes JSON for its client.
* The *dispatcher* determines what becomes of a command that may begin: it is forwarded, or decided about and played. The
  *starter* handles the rarer kinds, *denials* what rules deny, and *abandonment* what is never begun, because its client hung
  up.
* The *plan runner* (with plan_maker.py) plays decisions and recoveries: it has their commands written, feeds them the replies,
  and ends them.
* *Turns* say when a command may begin. They belong to the VM and outlive a connection. *Room* says how many may begin, so that
  no client keeps the others waiting. It also gives a command with descriptors QEMU to itself, which is the only safe way.
* The *router* splits what QEMU sends into messages (qmp_json/message_framer.py) and gives each to whoever it is for.
* The *outbox* is all that comes out. Its docstring states the contract with the driver; there is no other.

**Orders that matter.** Records before answers: whoever has an answer can rely on the record. Notices before records, so that
the log explains what the record says. A session's requests are read only as far as they can begin, so that a client that hangs
up takes back what has not begun, as it does with QEMU. A client that has gone still gets one command begun, because
fire-and-forget scripts send one and close (dispatcher.py).

**What is never kept:** ids, names or contents of a client's commands once they are answered, and anything about QEMU's disks
beyond a plan (shim/graph/known.py has the exceptions).
"""

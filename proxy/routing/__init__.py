"""Many clients on one QEMU monitor, without I/O: bytes and events in, bytes and things to do out.

**Why a FIFO routes replies.** A monitor has one client as far as QEMU knows, and answers that client's in-band commands in the
order in which it got them. Ids are the client's business: two clients may use the same one, or none. So whatever is written to
QEMU is noted at the end of a queue, and each reply that comes belongs to the first of it (pending.py, router.py). The queue
holds who is owed the reply: a session (the bytes go on as they are), a plan, the proxy itself. Three things break the order,
and each has its own answer:

* *Events* belong to everybody. They are told from replies by their first bytes (qmp_json/messages.py).
* *Out-of-band replies* overtake. Such a command gets an id of ours, by which its reply is found, and the client's own id is put
  back (queues/out_of_band.py).
* *An answer of ours*, an error in negotiation for one, must not overtake the replies that its client is still owed. It stands
  in the queue as a LocalLine and goes out when the ones before it have.

**Why a plan holds the others up.** Natively no command of any monitor runs while HMP's savevm does. A plan is several commands,
and what falls between them can cost a snapshot: `quit` between the deletion of the old one and the save of the new. So from a
plan's first command to its answer no client's in-band command is written (turns.py). Writing the plan's commands in one go
would not do: QEMU let a waiting monitor in between two commands of one write in 70 to 83 % of runs. Out-of-band commands and
events go on.

**Who owns what.**

* A *session* (proxy/sessions/) is one client: its negotiation, the commands that it sent and that have not begun, and the
  bytes that wait for it. Only a session spells JSON for its client.
* The *dispatcher* says what becomes of a command that may begin: forwarded, or decided about and played. The rarer kinds are
  the *starter*'s, what rules deny is the *denials*', and what is never begun, because its client hung up, is the
  *abandonment*'s.
* The *plan runner* (with plan_maker.py) plays decisions and recoveries: it writes their commands, feeds them the replies, and
  ends them.
* *Turns* say when a command may begin. They belong to the VM and outlive a connection. The *room* says how many may, so that
  no client keeps the others waiting, and keeps QEMU to itself for a command with descriptors, which is the only safe way.
* The *router* takes what QEMU sends apart (qmp_json/message_framer.py) and gives each message to whom it is for.
* The *outbox* is all that comes out. Its docstring has the contract with the driver, which is the only one there is.

**Orders that matter.** Records before answers: whoever has an answer can rely on the record. Notices before records, so that
the log explains what the record says. A session's requests are read only as far as they can begin, so that a client that hangs
up takes back what has not begun, as it does with QEMU. A client that has gone has one command begun all the same:
fire-and-forget scripts send one and close (dispatcher.py).

**What is never kept:** ids, names or contents of a client's commands beyond their reply, and anything about QEMU's disks beyond
a plan (shim/graph/known.py has the three exceptions).
"""

"""One client, without I/O: what it sent, what is due to it, and how much of both it may have. Nothing here knows other clients.

A session (session.py) stands for a client from its greeting to its end; session_state.py has the table of its states. What a
client sends goes through three forms. Each conversion happens as late as possible, because a client may send far more than will
ever be begun:

* *Bytes* are kept by an inbox (inbox.py), which cuts them into commands in steps of a few milliseconds.
* *Commands* are read when the next one is wanted (qmp_json/framing.py). Until the client has negotiated they are answered here
  (negotiation.py).
* *Requests* (requests.py) are what later commands become: one type for each kind that is handled differently, among them
  commands that are denied (allowance.py).

A window (window.py) says how many requests of a client may be under way, judging by what they have cost QEMU so far; limits.py
has what the operator allows. carried.py turns a session into a value for another process. monitor.py has what is known about
the QEMU on the other side, and the clock.
"""

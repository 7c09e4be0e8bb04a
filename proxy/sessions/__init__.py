"""One client, without I/O: what it sent, what is due to it, and how much of both it may have. Nothing here knows of the others.

A session (session.py) stands for a client from its greeting to its end; session_state.py has the table of how far it has come.
What it sends goes through three forms, each as late as possible, because a client may send far more than it will have done:

* *bytes*, which an inbox keeps (inbox.py), and cuts in steps of a few milliseconds into
* *commands*, when the next one is wanted (qmp_json/framing.py). Before a client has negotiated they are answered here
  (negotiation.py); after that each becomes
* *a request* (requests.py): which of the few kinds it is that are dealt with differently, or that it is denied (allowance.py).

How many requests of it may be under way its window says (window.py), by what they have cost QEMU so far; limits.py is what the
operator allows. monitor.py has what is known of the QEMU on the other side, and the clock.
"""

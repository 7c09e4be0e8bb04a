"""Whether nothing is under way between the clients and QEMU, so that another process can go on from here. Without I/O.

At such a moment a client's whole state is what it has negotiated, and perhaps half a command (proxy/sessions/carried.py).
Stop reading the clients before you ask, or a busy VM will never be quiet.
"""

from typing import Final

from proxy.routing.dispatcher import Dispatcher
from proxy.routing.router import Router
from proxy.routing.turns import Turns

__all__ = ["PAUSED", "why_not_quiet"]

PAUSED: Final = "its snapshot commands are paused"


def why_not_quiet(router: Router, dispatcher: Dispatcher, turns: Turns) -> str | None:
    """Say in words what is under way; None if nothing is."""
    if dispatcher.plans.exclusive is not None or not turns.is_free:
        return "a snapshot command runs"
    if dispatcher.owed or dispatcher.plans.works or dispatcher.out_of_band.under_way or dispatcher.waiting:
        return "QEMU has not answered all commands"
    if turns.pause.is_on:
        return PAUSED
    if not router.is_between:
        return "QEMU has sent a part of a message"
    if not dispatcher.outbox.is_empty:
        return "something is still to be written"
    for session in dispatcher.outbox.sessions:
        if session.client.is_proxy:
            return "the proxy itself asks QEMU"
        if session.has_left:
            return f"{session.client} is leaving"
        if session.inbox.has_input or session.inbox.out_of_band:
            return f"commands of {session.client} have not begun"
    return None

"""A Desk that goes on with the clients of another, as another process does after a hand-over."""

from proxy.relaying.quiet import why_not_quiet
from proxy.sessions.carried import carried, go_on_as
from proxy.sessions.session import Session
from tests.support.routing.pure_router import Desk

__all__ = ["hand_over"]


def hand_over(desk: Desk) -> tuple[Desk, dict[Session, Session]] | None:
    """Return a desk with the same QEMU, and its sessions by those of which they are made. None where one cannot be made.

    The desk must be quiet.
    """
    assert why_not_quiet(desk.router, desk.dispatcher, desk.turns) is None
    values = {session: carried(session) for session in desk.dispatcher.outbox.sessions}
    after = Desk(desk.qemu, desk.policy, desk.permissions, desk.limits, desk.version, announce=desk.announce, clock=desk.clock)
    sessions: dict[Session, Session] = {}
    for session, value in values.items():
        if value is None:
            return None
        successor = sessions[session] = after.dispatcher.add_session(session.client, session.is_gone)
        successor.errors_in_qmp = session.errors_in_qmp
        go_on_as(successor, value)
        after.said[successor] = bytearray()
    for session, value in values.items():
        if value is not None and (value.begun.data or value.descriptors):
            after.send(sessions[session], value.begun.data, value.descriptors)
    after.take()
    return after, sessions

"""What one client's session is, as a value from which another process makes one that goes on in its place. Without I/O.

It is taken at a moment at which nothing of the client is under way (proxy/relaying/quiet.py). So there is little to it: what
the client has agreed upon, and half a command, which is simply read again.
"""

from dataclasses import dataclass
from typing import Final

from proxy.qmp_json.items import Begun
from proxy.sessions.requests import Descriptors
from proxy.sessions.session import Session

__all__ = ["CarriedSession", "carried", "go_on_as"]

_NEGOTIATION: Final = b'{"execute": "qmp_capabilities", "arguments": {"enable": [%b]}}'


@dataclass(frozen=True, slots=True)
class CarriedSession:
    """One session.

    Attributes:
        has_negotiated: it may send commands, and hears events.
        has_oob: it has out-of-band execution.
        is_prompt: it is our own prompt.
        failed_command: the last HMP command, if only the text of its reply says that it failed.
        begun: what has come of a command that has no end yet.
        descriptors: those that have come, for a command that takes some.
    """

    has_negotiated: bool
    has_oob: bool
    is_prompt: bool
    failed_command: str | None
    begun: Begun
    descriptors: Descriptors


def carried(session: Session) -> CarriedSession | None:
    """Return a session as a value; None if it cannot be carried, as its client has sent what QEMU is half through refusing."""
    begun = session.inbox.begun
    if begun is None:
        return None
    return CarriedSession(
        session.is_negotiated,
        session.hears_end_of_file,
        session.is_prompt,
        session.failed_command,
        begun,
        session.inbox.descriptors,
    )


def go_on_as(session: Session, before: CarriedSession) -> None:
    """Make a session that nothing has come of what another one was. What had begun to come is the driver's to feed.

    It negotiates as its client did, which was answered, as the greeting was sent.
    """
    if before.has_negotiated:
        session.inbox.receive_data(_NEGOTIATION % (b'"oob"' if before.has_oob else b""))
        session.next_request()
    session.data_to_send()
    session.inbox.begin_at(before.begun)
    if before.is_prompt:
        session.note_prompt()
    session.note_outcome(before.failed_command)

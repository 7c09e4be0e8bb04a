"""One client's session as a value, from which another process makes a session that goes on in its place. Without I/O.

The value is taken when nothing of the client is under way (proxy/relaying/quiet.py). So there is little to it: what the client
has negotiated, and perhaps half a command, which is simply read again.
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
        has_negotiated: the client may send commands, and gets events.
        has_oob: it has enabled out-of-band execution.
        is_prompt: it is our own prompt.
        failed_command: its last HMP command, if only the text of the reply says that it failed.
        begun: a command of which only a part has come.
        descriptors: those that have come, and wait for a command that takes them.
    """

    has_negotiated: bool
    has_oob: bool
    is_prompt: bool
    failed_command: str | None
    begun: Begun
    descriptors: Descriptors


def carried(session: Session) -> CarriedSession | None:
    """Return a session as a value; None if it cannot be carried, because its client is in the middle of malformed input."""
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
    """Bring a new session into the state of a carried one. The driver then has to feed it `before.begun.data`.

    It negotiates as its client did; the greeting and the reply are thrown away, because the client has had them.
    """
    if before.has_negotiated:
        session.inbox.receive_data(_NEGOTIATION % (b'"oob"' if before.has_oob else b""))
        session.next_request()
    session.data_to_send()
    session.inbox.begin_at(before.begun)
    if before.is_prompt:
        session.note_prompt()
    session.note_outcome(before.failed_command)

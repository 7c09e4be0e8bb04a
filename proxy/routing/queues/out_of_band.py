"""Out-of-band commands under way (qmp-spec.rst, "Out-of-band execution"). Their replies overtake, so ids route them.

Not even a plan holds them back: a client uses them to free a QEMU that hangs (`yank`, `migrate-pause`), and QEMU runs them
beside its in-band command. While one is under way, any reply may be the one to it rather than the next of the FIFO, so for that
time, and only then, replies are parsed.
"""

from collections.abc import Callable

from proxy.qmp_json.messages import MonitorFormat
from proxy.sessions.requests import OutOfBand
from proxy.sessions.session import Session
from shim.qmp import JSON, decode, encode

__all__ = ["OutOfBandTraffic"]


class OutOfBandTraffic:
    """Give each command an id of ours, which no client can have chosen, and put the client's own id back into its reply."""

    def __init__(self, monitor_format: MonitorFormat, new_id: Callable[[], str]) -> None:
        self._format = monitor_format
        self._new_id = new_id
        # By the proxy's id: the session, and its command.
        self.under_way: dict[str, tuple[Session, dict[str, JSON]]] = {}

    def count(self, session: Session) -> int:
        """Count a client's commands that are under way."""
        return sum(whose is session for whose, _ in self.under_way.values())

    def send(self, session: Session, command: OutOfBand) -> bytes:
        """Note that a command is under way, and return it as it is to be written to QEMU."""
        own_id = self._new_id()
        self.under_way[own_id] = (session, command.message)
        return encode(command.message | {"id": own_id}, compact=True).encode("ascii") + b"\n"

    def settle(self, line: bytes) -> tuple[Session, bytes] | None:
        """Return the session and its reply if this line replies to an out-of-band command, else None."""
        if not self.under_way:
            return None
        reply = decode(line)
        own_id = reply.get("id")
        if not isinstance(own_id, str) or own_id not in self.under_way:
            return None
        session, message = self.under_way.pop(own_id)
        del reply["id"]
        return session, self._format.spell_reply(reply, message)

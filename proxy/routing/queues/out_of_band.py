"""Out-of-band commands under way (qmp-spec.rst, "Out-of-band execution"). Their replies overtake, so ids route them.

They are the one kind of command that is never held back, not even while a plan runs: a client uses them to free a QEMU that
hangs (`yank`, `migrate-pause`), and QEMU runs them beside its in-band command. While one is under way, a reply that looks as if
it were the next of the FIFO may be its, so replies are parsed for that time, and only for that.
"""

from collections.abc import Callable

from proxy.qmp_json.messages import MonitorFormat
from proxy.sessions.requests import OutOfBand
from proxy.sessions.session import Session
from shim.qmp import JSON, decode, encode

__all__ = ["OutOfBandTraffic"]


class OutOfBandTraffic:
    """Put an id of ours, which no client can have chosen, into each command, and the client's own back into its reply."""

    def __init__(self, monitor_format: MonitorFormat, new_id: Callable[[], str]) -> None:
        self._format = monitor_format
        self._new_id = new_id
        # By the proxy's ids: whose it is, and the command.
        self.under_way: dict[str, tuple[Session, dict[str, JSON]]] = {}

    def count(self, session: Session) -> int:
        """Count a client's commands that are under way."""
        return sum(whose is session for whose, _ in self.under_way.values())

    def send(self, session: Session, command: OutOfBand) -> bytes:
        """Return the command as QEMU is to get it."""
        own_id = self._new_id()
        self.under_way[own_id] = (session, command.message)
        return encode(command.message | {"id": own_id}, compact=True).encode("ascii") + b"\n"

    def settle(self, line: bytes) -> tuple[Session, bytes] | None:
        """Return the client's reply if this is one to an out-of-band command, else None."""
        if not self.under_way:
            return None
        reply = decode(line)
        own_id = reply.get("id")
        if not isinstance(own_id, str) or own_id not in self.under_way:
            return None
        session, message = self.under_way.pop(own_id)
        del reply["id"]
        return session, self._format.spell_reply(reply, message)

"""Log clients that are refused or disconnected: the first of a kind by itself, the next only as a count, against floods."""

import asyncio
import logging
from dataclasses import dataclass
from typing import TypeAlias

from shim.client import Client

__all__ = ["ClientLog"]

_log = logging.getLogger(__name__)

# How long further clients of a kind are only counted after one was logged.
_PERIOD_S = 60.0
# How many kinds are distinguished at a time, because it is easy to come from other addresses. All further ones count as one.
_MOST_KINDS = 50

# The listener, and who it is: the user, or the host.
_Kind: TypeAlias = tuple[str | None, ...]
_OTHERS: _Kind = ()


@dataclass(slots=True)
class _Repeated:
    """How many clients there were after the one that was logged, and the last of them."""

    client: Client
    reason: str
    count: int = 0


class ClientLog:
    """Call `note` for each client, in a running loop, and `close` at the end. deed: what was done to them, a past tense."""

    __slots__ = ("_deed", "_repeated", "_timer")

    def __init__(self, deed: str) -> None:
        self._deed = deed
        self._repeated: dict[_Kind, _Repeated] = {}
        self._timer: asyncio.TimerHandle | None = None

    def note(self, client: Client, reason: str) -> None:
        """Log a client and the reason, or only count it if one of its kind was logged within the last minute."""
        kind = _kind(client)
        if kind not in self._repeated and len(self._repeated) >= _MOST_KINDS:
            kind = _OTHERS
        if kind in self._repeated:
            repeated = self._repeated[kind]
            repeated.client, repeated.reason, repeated.count = client, reason, repeated.count + 1
            return
        self._repeated[kind] = _Repeated(client, reason)
        _log.warning("%s a client at %s: %s: %s", self._deed, client.listener, client, reason)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PERIOD_S, self._tell_repeated)

    def close(self) -> None:
        """Log what has only been counted. Calling it again does nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._tell_repeated()

    def _tell_repeated(self) -> None:
        self._timer = None
        told, self._repeated = self._repeated, {}
        for last in told.values():
            if last.count:
                text = "%s more clients at %s: %d within a minute, the last of them %s: %s"
                _log.warning(text, self._deed, last.client.listener, last.count, last.client, last.reason)


def _kind(client: Client) -> _Kind:
    host = None if client.address is None else client.address.rpartition(":")[0]
    return client.listener, None if client.uid is None else str(client.uid), host

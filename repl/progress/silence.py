"""How long QEMU has owed an answer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Owed", "Silence"]


@dataclass(frozen=True, slots=True)
class Silence:
    """QEMU owes an answer. since_ns: when its silence began. heard_ns: when it last answered (both time.monotonic_ns)."""

    since_ns: int
    heard_ns: int = 0


class Owed:
    """The answers owed on one connection. A silence begins with the last answer, or with the oldest open question if later."""

    def __init__(self) -> None:
        self._asked_ns: list[int] = []
        self._heard_ns = 0

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Mark answers as owed within the context; after it, they have arrived or are no longer waited for."""
        asked_ns = time.monotonic_ns()
        self._asked_ns.append(asked_ns)
        try:
            yield
        finally:
            self._asked_ns.remove(asked_ns)

    def heard(self) -> None:
        """Note that an answer has arrived."""
        self._heard_ns = time.monotonic_ns()

    @property
    def silence(self) -> Silence | None:
        """Return the present silence; None if nothing is owed."""
        return Silence(max(self._asked_ns[0], self._heard_ns), self._heard_ns) if self._asked_ns else None

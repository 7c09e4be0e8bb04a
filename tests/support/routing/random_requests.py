"""What a random client sends, and what is due to it for that."""

import itertools
import json
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from proxy.sessions.requests import Descriptors
from shim.rules.permissions import Permissions
from shim.rules.rules import Rule

__all__ = ["DENYING", "MOST_SPELLED_TOKENS", "Ends", "Piece", "Player", "RandomRequests"]

# With these rules a client also sends what they deny.
DENYING = Permissions((Rule.deny("quit", "add-fd", "yank", "human-monitor-command: info usb"),))

# A command with an id of more than these is too long for the proxy; the product's own limit would take longer to read.
MOST_SPELLED_TOKENS = 30

_HMP_LINES = ("info name", "info usb", "info snapshots", "savevm {}", "loadvm {}", "delvm {}")


@dataclass(frozen=True, slots=True)
class Piece:
    """What a client writes in one go. It is due an answer for each id, one without an id for each malformed byte.

    in_band: the ids of its commands, in their order. out_of_band: of those that overtake. record_count: how many commands are
    to be on record.
    """

    data: bytes
    descriptors: Descriptors = ()
    in_band: tuple[str, ...] = ()
    out_of_band: tuple[str, ...] = ()
    malformed_count: int = 0
    record_count: int = 0


class RandomRequests:
    """Make what one client sends, with ids of its own. descriptors: numbers that nobody else has."""

    def __init__(self, rng: random.Random, number: int, descriptors: Iterator[int], *, has_oob: bool, has_rules: bool) -> None:
        self._rng = rng
        self._number = number
        self._descriptors = descriptors
        self._has_oob = has_oob
        self._ids = (f"{number}.{count}" for count in itertools.count(1))
        kinds: dict[Callable[[], Piece], int] = {
            self._query: 6, self._queries: 2, self._hmp: 4, self._modern: 1, self._jobs: 1, self._getfd: 7,
            self._untaken: 1, self._too_long: 1, self._malformed: 3, self._own: 1, self._plan: 1,
        }  # fmt: skip
        if has_oob:
            kinds |= {self._out_of_band: 1, self._overtaking: 3}
        if has_rules:
            kinds |= {self._denied: 2, self._denied_descriptors: 1, self._many_denied: 1}
        if has_oob and has_rules:
            kinds |= {self._denied_out_of_band: 4}
        self._kinds, self._weights = list(kinds), list(kinds.values())

    def negotiation(self) -> Piece:
        return self._command({"execute": "qmp_capabilities", "arguments": {"enable": ["oob"] if self._has_oob else []}})

    def next(self) -> Piece:
        return self._rng.choices(self._kinds, self._weights)[0]()

    # -- The kinds -----------------------------------------------------------------------------------------------------

    def _query(self) -> Piece:
        return self._command({"execute": "query-name"})

    def _queries(self) -> Piece:
        return self._repeated("query-status", self._rng.randint(2, 30))

    def _hmp(self) -> Piece:
        line = self._rng.choice(_HMP_LINES).format(f"t{self._number}")
        return self._command({"execute": "human-monitor-command", "arguments": {"command-line": line}}, record_count=1)

    def _modern(self) -> Piece:
        arguments = {"job-id": f"j{next(self._ids)}", "tag": "t", "devices": []}
        return self._command({"execute": "snapshot-delete", "arguments": arguments}, record_count=1)

    def _jobs(self) -> Piece:
        return self._command({"execute": "query-jobs"})

    def _getfd(self) -> Piece:
        descriptors = self._new_descriptors() if self._rng.random() < 0.75 else ()
        return self._command({"execute": "getfd", "arguments": {"fdname": "x"}}, descriptors)

    def _untaken(self) -> Piece:
        """Return a command that leaves the descriptors that it comes with to a later one."""
        return self._command({"execute": "query-name"}, self._new_descriptors())

    def _too_long(self) -> Piece:
        """Return a command that is answered without its id, and takes its descriptors with it."""
        command = {"execute": "getfd", "arguments": {"fdname": "x"}, "id": [0] * (MOST_SPELLED_TOKENS + 1)}
        return Piece(self._spell(command), self._new_descriptors(), malformed_count=1)

    def _malformed(self) -> Piece:
        count = self._rng.choice((1, 1, 1, 10, 150))
        return Piece(b"\x01 " * count, malformed_count=count)

    def _own(self) -> Piece:
        return self._command({"execute": "__hmpshim_query-proxy"})

    def _plan(self) -> Piece:
        line = self._rng.choice(_HMP_LINES).format("t")
        return self._command({"execute": "__hmpshim_plan", "arguments": {"command-line": line}})

    def _denied(self) -> Piece:
        return self._command({"execute": "quit"})

    def _denied_descriptors(self) -> Piece:
        return self._command({"execute": "add-fd"}, self._new_descriptors())

    def _many_denied(self) -> Piece:
        return self._repeated("quit", self._rng.choice((5, 150)))

    def _out_of_band(self) -> Piece:
        return self._overtakes("query-yank")

    def _denied_out_of_band(self) -> Piece:
        return self._overtakes("yank", self._rng.choice((1, 1, 1, 20)))

    def _overtaking(self) -> Piece:
        """Return a command that has to be found behind many others, in what was read with them."""
        others, last = self._queries(), self._out_of_band()
        return Piece(others.data + last.data, in_band=others.in_band, out_of_band=last.out_of_band)

    # -- Their parts ---------------------------------------------------------------------------------------------------

    def _new_descriptors(self) -> Descriptors:
        return tuple(itertools.islice(self._descriptors, self._rng.randint(1, 2)))

    def _command(self, command: dict[str, Any], descriptors: Descriptors = (), *, record_count: int = 0) -> Piece:
        own = next(self._ids)
        return Piece(self._spell(command | {"id": own}), descriptors, in_band=(own,), record_count=record_count)

    def _repeated(self, name: str, count: int) -> Piece:
        ids = tuple(itertools.islice(self._ids, count))
        return Piece(b"".join(self._spell({"execute": name, "id": own}) for own in ids), in_band=ids)

    def _overtakes(self, name: str, count: int = 1) -> Piece:
        ids = tuple(itertools.islice(self._ids, count))
        return Piece(b"".join(self._spell({"exec-oob": name, "id": own}) for own in ids), out_of_band=ids)

    def _spell(self, command: dict[str, Any]) -> bytes:
        """Spell a command as short as the fast path knows it, or not."""
        text = json.dumps(command, separators=(",", ":")) if self._rng.random() < 0.8 else json.dumps(command)
        return text.encode() + self._rng.choice((b"\n", b"\n", b""))


class Ends(Enum):
    """How a client ends what it sends."""

    NOT = auto()
    HALF_CLOSED = auto()
    GONE = auto()


@dataclass(slots=True, eq=False)
class Player:
    """One client: what it has sent, what is due to it for as much of that as the proxy has read, and what it heard."""

    number: int
    requests: RandomRequests
    # With OOB it may hear nothing more once it ends what it sends.
    has_oob: bool
    ends: Ends = Ends.NOT
    piece_count: int = 0
    # Sent, and not read by the proxy.
    in_kernel: deque[Piece] = field(default_factory=deque)
    is_read: bool = True
    is_removed: bool = False
    heard: bytearray = field(default_factory=bytearray)
    in_band: list[str] = field(default_factory=list)
    out_of_band: list[str] = field(default_factory=list)
    malformed_count: int = 0
    record_count: int = 0

    @property
    def is_cut(self) -> bool:
        """Tell whether it may miss what was due to it."""
        return self.ends is Ends.GONE or (self.ends is Ends.HALF_CLOSED and self.has_oob)

    def send_next(self) -> None:
        self.piece_count += 1
        self.in_kernel.append(self.requests.next())

    def expect(self, piece: Piece) -> None:
        """Note what is due for a piece that was read."""
        self.in_band += piece.in_band
        self.out_of_band += piece.out_of_band
        self.malformed_count += piece.malformed_count
        self.record_count += piece.record_count

    def forget(self) -> None:
        """Forget what it heard, and what was due to it for that."""
        for kept in (self.heard, self.in_band, self.out_of_band):
            kept.clear()
        self.malformed_count = 0

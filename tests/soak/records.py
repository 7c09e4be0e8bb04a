"""What the audit log says, while it grows, is moved away, and begins anew."""

import json
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.soak.oracle import Violation

__all__ = ["RecordBook"]

# These tell of a beginning, of what a client did next, or of what a dead proxy had begun; the command's own record is another.
_BESIDE: Final = frozenset({"begun", "went_on", "recovered"})
_SHOWN: Final = 5


@dataclass(slots=True)
class RecordBook:
    """Reads the log and all that was put aside of it. found: how many records each command has, by its key.

    The key of an HMP command is its line, that of another command its id. lost: how many records say that they are missing.
    """

    log: Path
    found: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    records: int = 0
    damaged: int = 0
    _positions: dict[int, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def update(self) -> None:
        """Read what has come."""
        with self._lock:
            for path in self.log.parent.glob(f"{self.log.name}*"):
                self._read(path)

    def has(self, key: str) -> bool:
        self.update()
        return self.found[key] > 0

    def check(self, answered: Iterable[str]) -> None:
        """See that each command that was answered is on record once, or counted as lost. Raises Violation."""
        self.update()
        keys = list(answered)
        missing = [key for key in keys if not self.found[key]]
        doubled = [key for key in keys if self.found[key] > 1]
        if len(missing) > self.lost:
            raise Violation("the log", f"no more than {self.lost} records missing", f"{len(missing)}: {missing[:_SHOWN]}")
        if doubled:
            raise Violation("the log", "one record for each command", f"more of {doubled[:_SHOWN]}")

    def _read(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                number = path.stat().st_ino
                file.seek(self._positions.get(number, 0))
                whole, end, _ = file.read().rpartition(b"\n")
                self._positions[number] = self._positions.get(number, 0) + len(whole) + len(end)
        except FileNotFoundError:
            return  # moved a moment ago; it is found under its new name
        for line in whole.splitlines():
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            record: dict[str, Any] = json.loads(line)
        except ValueError:
            self.damaged += 1  # cut off by a full disk or a kill
            return
        self.records += 1
        self.lost += record["lost_before"]
        if record["action"] in _BESIDE:
            return
        reply = record["reply"] or {}
        self.found[record["command_line"] if record["command_line"] is not None else str(reply.get("id"))] += 1

"""A disk that is stuck until a test lets it go on."""

import threading
from dataclasses import dataclass, field

from host.audit_log.log import AuditLog
from host.audit_log.losses import Losses
from host.errors import AuditError
from tests.support.raw_client import DEADLINE_S

__all__ = ["StuckDisk"]


@dataclass
class StuckDisk:
    """A sink of an audit log. lines: those that were written. is_full: writing fails."""

    lines: list[bytes] = field(default_factory=list)
    is_full: bool = False
    is_closed: bool = False
    _goes_on: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._goes_on.set()

    def stick(self) -> None:
        self._goes_on.clear()

    def go_on(self) -> None:
        self._goes_on.set()

    def wait(self) -> None:
        if not self._goes_on.wait(DEADLINE_S):
            raise AssertionError("the test has not let the disk go on")

    def write(self, line: bytes) -> None:
        self.wait()
        if self.is_full:
            raise AuditError("log", "the disk is full")
        self.lines.append(line)

    def reopen(self) -> None:
        self.wait()

    def close(self) -> None:
        self.wait()
        self.is_closed = True

    def log(self, *, refuses: bool = False) -> AuditLog:
        return AuditLog(self, Losses("/log"), refuses=refuses)

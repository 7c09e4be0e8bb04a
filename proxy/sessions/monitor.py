"""What the proxy takes as given while it is connected: facts about QEMU's monitor, and the clock.

The driver passes in both as values. A QEMU that comes back after a restart may be another version with another greeting, so
everything that depends on these facts is made anew for each connection.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from shim.graph.free_space import LookAtSpace
from shim.qmp import QEMUVersion

__all__ = ["Clock", "Monitor"]


@dataclass(frozen=True, slots=True)
class Clock:
    """The time, and the host's free disk space, as functions that a test can replace.

    monotonic_ns: for durations. utc: aware, for records. local: QEMU's wall clock, for names. local_time: converts seconds
    since the epoch to QEMU's local time. free_space: looks at a file's file system; None where that is not possible.
    """

    monotonic_ns: Callable[[], int]
    utc: Callable[[], datetime]
    local: Callable[[], datetime]
    local_time: Callable[[int], datetime]
    free_space: LookAtSpace | None = None


@dataclass(frozen=True, slots=True)
class Monitor:
    """What was learnt when the connection to QEMU was negotiated.

    greeting: its bytes as they came, for the clients. offers_oob: out-of-band execution is among its capabilities.
    vm: the VM's name in the audit. unnamed: the name that it would have if the configuration gave it none.
    """

    greeting: bytes
    offers_oob: bool
    version: QEMUVersion
    commands: frozenset[str]
    vm: str
    unnamed: str = field(default="", compare=False)

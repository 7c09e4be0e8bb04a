"""What the proxy takes as given while it is connected: facts about QEMU's monitor, and the time.

Both are values that the driver hands in. A QEMU that comes back after a restart may be another version with another greeting,
so everything that depends on them is made anew for each connection.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from shim.graph.free_space import LookAtSpace
from shim.qmp import QEMUVersion

__all__ = ["Clock", "Monitor"]


@dataclass(frozen=True, slots=True)
class Clock:
    """The time, and what else the host tells, as functions, so that a test can be its master.

    monotonic_ns: for durations. utc: aware, for records. local: QEMU's wall clock, for names. local_time: seconds since the
    epoch as QEMU's local time. free_space: looks at a file's file system; None where nobody can.
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
    vm: the name in the audit. unnamed: what it would be, if the configuration had none for it.
    """

    greeting: bytes
    offers_oob: bool
    version: QEMUVersion
    commands: frozenset[str]
    vm: str
    unnamed: str = field(default="", compare=False)

"""The host's time and free disk space, for the parts of the program that do no I/O.

Durations are monotonic, because the clock may be set while a savevm runs. Records use UTC, so that the logs of several hosts
can be read together. Times that HMP shows or makes names from (`info snapshots`, a savevm without a tag) are in QEMU's local
time. No QMP command reveals its time zone, so this process's is used: start the proxy with QEMU's TZ.
"""

import time
from datetime import UTC, datetime
from functools import partial

from host.free_space import free_space
from proxy.sessions.monitor import Clock

__all__ = ["SYSTEM_CLOCK"]

SYSTEM_CLOCK = Clock(
    monotonic_ns=time.monotonic_ns,
    utc=partial(datetime.now, UTC),
    local=datetime.now,
    local_time=datetime.fromtimestamp,
    free_space=free_space,
)

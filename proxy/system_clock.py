"""The time, and the room on its disks, for the parts that look at nothing themselves.

Durations are monotonic, because the clock may be set while a savevm runs. Records have UTC, so that the logs of several hosts
can be read together. What HMP shows and names by the time (`info snapshots`, a savevm without a tag) is in QEMU's local time.
No QMP command tells its time zone, so this process's is taken: start the proxy with QEMU's TZ.
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

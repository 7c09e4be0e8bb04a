"""The time, for the parts that read no clock themselves."""

import time
from datetime import UTC, datetime
from functools import partial

from proxy.routing.monitor import Clock

__all__ = ["SYSTEM_CLOCK"]

SYSTEM_CLOCK = Clock(
    monotonic_ns=time.monotonic_ns,
    utc=partial(datetime.now, UTC),
    local=datetime.now,
    local_time=datetime.fromtimestamp,
)

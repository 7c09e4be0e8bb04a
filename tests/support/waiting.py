"""Wait for what another process does, and nobody tells."""

import time
from collections.abc import Callable
from typing import Final

from tests.support.raw_client import DEADLINE_S

__all__ = ["wait_for"]

_LOOK_S: Final = 0.005


def wait_for(condition: Callable[[], bool]) -> None:
    """Look again and again; AssertionError after a deadline that only a failure reaches."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(_LOOK_S)

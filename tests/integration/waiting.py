"""Wait for what another process does and does not announce."""

import time
from collections.abc import Callable
from typing import Final

from tests.support.raw_client import DEADLINE_S

__all__ = ["until"]

RETRY_S: Final = 0.005


def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds; AssertionError after the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(RETRY_S)

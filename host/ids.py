"""Unique ids for jobs and commands."""

import os
from collections.abc import Callable
from itertools import count

__all__ = ["own_ids"]


def own_ids(prefix: str) -> Callable[[], str]:
    """Return a function that makes ids that no other run of a program here uses."""
    run, numbers = os.urandom(4).hex(), count(1)
    return lambda: f"{prefix}{run}-{next(numbers)}"

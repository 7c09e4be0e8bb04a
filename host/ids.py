"""Ids for jobs and commands that nobody else uses."""

import os
from collections.abc import Callable
from itertools import count

__all__ = ["own_ids"]


def own_ids(prefix: str) -> Callable[[], str]:
    """Return a source of ids that no other run of a program here uses."""
    run, numbers = os.urandom(4).hex(), count(1)
    return lambda: f"{prefix}{run}-{next(numbers)}"

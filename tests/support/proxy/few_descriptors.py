"""A process that has nearly all the descriptors in use that it may have."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["few_descriptors_left"]


@contextmanager
def few_descriptors_left(count: int) -> Iterator[int]:
    """Take all descriptors but so many; give the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = min(soft, 256)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    taken: list[int] = []
    try:
        while not taken or taken[-1] < limit - count - 1:
            taken.append(os.open("/dev/null", os.O_RDONLY))
        yield limit
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

"""Standard input of the test's own process."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["standard_input"]


@contextmanager
def standard_input(data: bytes) -> Iterator[None]:
    """Have this on standard input, as from a pipe, which has room for 64 KiB; also for whoever reads descriptor 0."""
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    descriptor, stream = os.dup(0), sys.stdin
    os.dup2(reader, 0)
    os.close(reader)
    try:
        with open(0, closefd=False) as sys.stdin:
            yield
    finally:
        sys.stdin = stream
        os.dup2(descriptor, 0)
        os.close(descriptor)

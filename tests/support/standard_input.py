"""Standard input of the test's own process."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

__all__ = ["standard_input", "standard_input_from"]


@contextmanager
def standard_input(data: bytes) -> Iterator[None]:
    """Have this on standard input, as from a pipe, which has room for 64 KiB; also for whoever reads descriptor 0."""
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    with open(reader, "rb") as file, standard_input_from(file):
        yield


@contextmanager
def standard_input_from(file: BinaryIO) -> Iterator[None]:
    """Have a file on standard input; also for whoever reads descriptor 0."""
    descriptor, stream = os.dup(0), sys.stdin
    os.dup2(file.fileno(), 0)
    try:
        with open(0, closefd=False) as sys.stdin:
            yield
    finally:
        sys.stdin = stream
        os.dup2(descriptor, 0)
        os.close(descriptor)

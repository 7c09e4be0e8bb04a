"""How single things are timed, and on which cores they run."""

import os
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager

from bench.load import await_lines
from bench.measures.workloads import PING

__all__ = ["all_cores", "on_cores", "ping_ns"]


def ping_ns(sock: socket.socket) -> int:
    """Return how long one ping takes."""
    begun_ns = time.perf_counter_ns()
    sock.sendall(PING.encode() + b"\n")
    await_lines(sock, 1)
    return time.perf_counter_ns() - begun_ns


@contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """Run what is started within the context on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def all_cores() -> AbstractContextManager[None]:
    """Run what is started within the context on any core."""
    return on_cores(range(os.cpu_count() or 1))

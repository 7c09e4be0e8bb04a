"""When to try again to reach a QEMU that has gone."""

from collections.abc import Iterator

__all__ = ["backoff_s"]


def backoff_s() -> Iterator[float]:
    """Give how long to wait before each new attempt to connect: a restarted QEMU is found soon, a gone one costs little."""
    delay = 0.05
    while True:
        yield delay
        delay = min(delay * 2, 2.0)

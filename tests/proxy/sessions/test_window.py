"""How many commands of one client may be under way, by what they cost QEMU."""

import pytest

from proxy.sessions.window import Window

MS = 1_000_000


def refilled(size: int, done: int, duration_ms: float, *, most: int = 1000) -> int:
    """Return the size of a window of which so many commands were done in that time."""
    window = Window(most)
    window.size = size
    window.fill(size, 0)
    window.refill(size - done, round(duration_ms * MS))
    return window.size


@pytest.mark.parametrize(
    ("done", "duration_ms", "size"),
    [
        (50, 5, 400),  # four times as many at most
        (50, 10, 250),
        (50, 25, 100),
        (50, 50, 50),
        (50, 500, 5),
        (50, 5000, 1),  # at once, and never none
        (50, 0, 400),
        (0, 5000, 100),  # nothing is known then
    ],
)
def test_it_fits_50_ms_of_qemus_work(done: int, duration_ms: float, size: int) -> None:
    assert refilled(100, done, duration_ms) == size


def test_it_never_exceeds_what_is_allowed() -> None:
    assert refilled(100, 50, 1, most=300) == 300
    assert Window(2).size == 2
    assert Window(1000).size < 10


def test_what_was_measured_counts_once() -> None:
    window = Window(1000)
    window.size = 100
    window.fill(100, 0)
    window.refill(50, 100 * MS)
    window.refill(0, 101 * MS)
    assert window.size == 25


def test_what_is_allowed_can_change() -> None:
    window = Window(1000)
    window.limit(2)
    assert window.size == 2
    window.limit(300)
    window.fill(2, 0)
    window.refill(0, 1)
    assert window.size == 8

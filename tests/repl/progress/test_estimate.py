"""How far it is: times and bytes in, text out."""

from typing import Final

import pytest

from repl.progress.estimate import Course, Known, span_text
from repl.progress.work import Kind

MIB: Final = 1024 * 1024
RAM: Final = 1000 * MIB
STATE: Final = 100 * MIB

# What was seen, as (seconds, MiB), then the second at which it is told, and what is told.
Seen = list[tuple[float, float]]


def told(known: Known, seen: Seen, at_s: float, *, kind: Kind = Kind.SAVE, parts: int = 1) -> str:
    course = Course(kind, known, parts=parts)
    for seen_s, moved_mib in seen:
        course.see(seen_s, round(moved_mib * MIB))
    return course.text(at_s)


@pytest.mark.parametrize(
    ("known", "seen", "at_s", "text"),
    [
        # Nothing is known: nothing is said.
        (Known(), [], 5, ""),
        (Known(), [(0, 0), (5, 50)], 5, ""),
        (Known(ram_bytes=RAM), [], 5, ""),
        (Known(ram_bytes=RAM), [(0, 0), (5, 0)], 5, ""),
        # By the state that was saved before.
        (Known(RAM, STATE), [(0, 0)], 1, ""),
        (Known(RAM, STATE), [(0, 0), (0.5, 10)], 0.5, "about 10 %"),
        (Known(RAM, STATE), [(0, 0), (2, 20)], 2, "about 20 %, about 8 s left"),
        (Known(RAM, STATE), [(0, 0), (2, 20)], 4, "about 20 %, about 6 s left"),
        (Known(RAM, STATE), [(0, 0), (2, 20)], 7.5, "about 20 %"),
        (Known(RAM, STATE), [(0, 0), (100, 20)], 100, "about 20 %, about 7 min left"),
        (Known(RAM, STATE), [(0, 0), (2, 20), (30, 20.001), (41, 20.001)], 41, "about 20 %"),
        (Known(RAM, STATE), [(0, 0), (10, 90), (21, 95), (31, 97.5)], 31, "about 97 %, about 10 s left"),
        (Known(RAM, STATE), [(0, 0), (10, 100)], 10, "about 99 %, about 1 s left"),
        (Known(RAM, STATE), [(0, 0), (10, 104)], 10, "about 99 %, about 1 s left"),
        (Known(RAM, STATE), [(0, 0), (10, 106)], 10, "106 MiB written, the last one had 100 MiB"),
        # By the RAM, which is the most that a state can have.
        (Known(RAM), [(0, 0), (2, 20)], 2, "at least 2 %, at most 2 min left"),
        (Known(RAM), [(0, 0), (0.5, 20)], 0.5, "at least 2 %"),
        (Known(RAM), [(0, 0), (10, 1001)], 10, "at least 99 %, at most 1 s left"),
        # By the time that the last one took.
        (Known(RAM, STATE, 20), [], 5, "about 25 %, about 15 s left"),
        (Known(RAM, STATE, 20), [(0, 0), (4, 0)], 5, "about 25 %, about 15 s left"),
        (Known(usual_s=20), [(0, 0), (4, 10)], 20, "about 99 %, about 1 s left"),
        (Known(usual_s=20), [], 20.1, "longer than the last one (20 s)"),
        # What is seen is the better measure.
        (Known(RAM, STATE, 20), [(0, 0), (5, 50)], 5, "about 50 %, about 5 s left"),
        (Known(RAM, usual_s=20), [(0, 0), (5, 50)], 5, "at least 5 %, at most 2 min left"),
    ],
)
def test_save(known: Known, seen: Seen, at_s: float, text: str) -> None:
    assert told(known, seen, at_s) == text


@pytest.mark.parametrize(
    ("known", "seen", "text"),
    [
        (Known(RAM, STATE), [(0, 0), (4, 40)], "about 40 %, about 6 s left"),
        # It reads its image's tables too.
        (Known(RAM, STATE), [(0, 0), (4, 120)], "about 99 %, about 1 s left"),
        # The RAM says nothing about how much there is to read.
        (Known(RAM), [(0, 0), (4, 40)], ""),
        (Known(RAM, usual_s=8), [(0, 0), (4, 40)], "about 50 %, about 4 s left"),
    ],
)
def test_load(known: Known, seen: Seen, text: str) -> None:
    assert told(known, seen, 4, kind=Kind.LOAD) == text


def test_two_saves_that_are_one_command_write_twice_as_much() -> None:
    assert told(Known(RAM, STATE), [(0, 0), (10, 100)], 10, parts=2) == "about 50 %, about 10 s left"
    assert told(Known(RAM), [(0, 0), (10, 100)], 10, parts=2) == "at least 5 %, at most 3 min left"


def test_it_never_goes_back() -> None:
    course = Course(Kind.SAVE, Known(RAM, STATE, 10))
    assert course.text(6) == "about 60 %, about 4 s left"
    course.see(6, 0)
    course.see(8, 20 * MIB)
    assert course.text(8) == "about 60 %, about 8 s left"
    course.see(9, 10 * MIB)
    assert course.text(9) == "about 60 %, about 10 s left"
    course.parts = 2
    course.see(10, 100 * MIB)
    assert course.text(10).startswith("about 60 %")


def test_it_never_says_that_it_is_done() -> None:
    for known in (Known(RAM, STATE), Known(RAM), Known(usual_s=10)):
        course = Course(Kind.SAVE, known)
        for second in range(11):
            course.see(second, RAM if known.state_bytes is None else STATE)
            assert "100 %" not in course.text(second)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1 s"),
        (1.4, "1 s"),
        (9.4, "9 s"),
        (9.6, "10 s"),
        (12.4, "10 s"),
        (13, "15 s"),
        (57.4, "55 s"),
        (58, "1 min"),
        (89, "2 min"),
        (3569, "1 h 0 min"),
        (3540, "59 min"),
        (5400, "1 h 30 min"),
    ],
)
def test_span_is_as_coarse_as_it_is_uncertain(seconds: float, text: str) -> None:
    assert span_text(seconds) == text

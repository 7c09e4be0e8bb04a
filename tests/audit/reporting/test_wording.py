"""How counts, times and names are said."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from audit.reporting.wording import answer, counted, listed, milliseconds, minute, parse_moment, times, tool_labels
from tests.support.audit.sample_report import LIBVIRT, OVER_TCP, SOCAT


@pytest.mark.parametrize(("count", "said"), [(0, "0 records"), (1, "1 record"), (12345, "12,345 records")])
def test_count(count: int, said: str) -> None:
    assert counted(count, "record") == said


@pytest.mark.parametrize(
    ("names", "most", "said"),
    [
        ([], 0, ""),
        (["a"], 0, "a"),
        (["a", "b"], 0, "a and b"),
        (["a", "b", "c"], 3, "a, b and c"),
        (["a", "b", "c", "d"], 2, "a, b and 2 more"),
    ],
)
def test_list(names: list[str], most: int, said: str) -> None:
    assert listed(names, most=most) == said


@pytest.mark.parametrize(("text", "said"), [("", "success"), ("Error: no", "Error: no"), (None, "not known")])
def test_answer(text: str | None, said: str) -> None:
    assert answer(text) == said


def test_alternatives() -> None:
    assert listed(["a", "b", "c"], conjunction="or") == "a, b or c"


@pytest.mark.parametrize(("count", "said"), [(1, "once"), (2, "2 times"), (12345, "12,345 times")])
def test_how_often(count: int, said: str) -> None:
    assert times(count) == said


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        *[(0, "0 ms"), (0.4, "0.4 ms"), (14.969, "15 ms"), (312.5, "312 ms"), (999.4, "999 ms"), (999.6, "1.00 s")],
        *[(1840.4, "1.84 s"), (59400, "59.4 s"), (59999, "1 min 0 s"), (125000, "2 min 5 s")],
        *[(float("nan"), "0 ms"), (-5, "0 ms"), (10**400, milliseconds(float("inf")))],
    ],
)
def test_duration(ms: float, said: str) -> None:
    assert milliseconds(ms) == said


def test_times() -> None:
    assert minute("2026-11-19T16:02:51.730122Z") == "2026-11-19 16:02"
    assert parse_moment("2026-11-19T16:02:51.730122Z") == datetime(2026, 11, 19, 16, 2, 51, 730122, tzinfo=UTC)
    assert parse_moment("2026-11-19") == datetime(2026, 11, 19, tzinfo=UTC)
    moment = parse_moment("2026-11-19")
    assert moment is not None
    assert moment.utcoffset() == timedelta(0)


@pytest.mark.parametrize("time", ["", "2026-02-30", "2026-13-01T99:99:99.000000Z", "0000-00-00"])
def test_no_time(time: str) -> None:
    assert parse_moment(time) is None


def test_tools_of_one_name_are_told_apart() -> None:
    other, unknown = replace(SOCAT, user="1001"), replace(SOCAT, user="", place="")
    assert tool_labels([SOCAT, other, unknown, LIBVIRT, OVER_TCP, SOCAT]) == {
        SOCAT: "socat (login session, user alice)",
        other: "socat (login session, user 1001)",
        unknown: "socat",
        LIBVIRT: "libvirtd",
        OVER_TCP: "tcp:192.0.2.17",
    }

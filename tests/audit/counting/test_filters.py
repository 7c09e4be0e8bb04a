"""Which records count."""

from datetime import UTC, datetime

import pytest

from audit.counting.filters import Filters, parse_time
from tests.support.audit.audit_records import a_record

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
LIBVIRT = a_record(exe="/usr/sbin/libvirtd")["client"]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-20", "2026-11-20T00:00:00.000000Z"),
        ("2026-11-20T15:30", "2026-11-20T15:30:00.000000Z"),
        ("2026-11-20T15:30+02:00", "2026-11-20T13:30:00.000000Z"),
        ("2026-11-20T15:30:01.5Z", "2026-11-20T15:30:01.500000Z"),
        ("30m", "2026-11-24T12:00:00.000000Z"),
        ("12h", "2026-11-24T00:30:00.000000Z"),
        ("7d", "2026-11-17T12:30:00.000000Z"),
        ("2w", "2026-11-10T12:30:00.000000Z"),
    ],
)
def test_times_that_people_write(text: str, time: str) -> None:
    assert parse_time(text, NOW) == time


def test_an_end_takes_a_day_whole() -> None:
    assert parse_time("2026-11-20", NOW, is_end=True) == "2026-11-21T00:00:00.000000Z"
    assert parse_time("2026-11-20T00:00", NOW, is_end=True) == "2026-11-20T00:00:00.000000Z"


@pytest.mark.parametrize("text", ["", "yesterday", "7", "7y", "2026-13-01", "2026-11-31"])
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid time '.*'; write 2026-11-24"):
        parse_time(text, NOW)


def test_since_is_within_and_until_is_not() -> None:
    filters = Filters(since="2026-11-20T00:00:00.000000Z", until="2026-11-21T00:00:00.000000Z")
    times = ["2026-11-19T23:59:59.999999Z", "2026-11-20T00:00:00.000000Z", "2026-11-20T23:59:59.999999Z"]
    assert [filters.takes_time(time) for time in (*times, "2026-11-21T00:00:00.000000Z")] == [False, True, True, False]


def test_without_bounds_every_time_counts() -> None:
    assert Filters().takes_time("2026-11-19T23:59:59.999999Z")


@pytest.mark.parametrize(("patterns", "taken"), [((), True), (("vm1",), True), (("a", "vm?"), True), (("VM1",), False)])
def test_vms(patterns: tuple[str, ...], taken: bool) -> None:
    filters = Filters(vms=patterns)
    assert [filters.takes_vm("vm1"), filters.takes_vm("vm1")] == [taken, taken]


@pytest.mark.parametrize(
    ("patterns", "taken"), [((), True), (("libvirtd",), True), (("/usr/*",), True), (("lib",), False), (("x", "*virt*"), True)]
)
def test_tools(patterns: tuple[str, ...], taken: bool) -> None:
    assert Filters(tools=patterns).takes_client(LIBVIRT) is taken


@pytest.mark.parametrize("pattern", ["nightly.py", "/usr/local/*", "python3*", "/usr/bin/python3.11", "nightly.py (user *)"])
def test_script_is_found_by_its_names_and_paths(pattern: str) -> None:
    argv = ["python3", "/usr/local/bin/nightly.py"]
    client = a_record(exe="/usr/bin/python3.11", tool="nightly.py", argv=argv)["client"]
    assert Filters(tools=(pattern,)).takes_client(client)


def test_tool_on_the_network_is_called_by_its_address() -> None:
    client = a_record(address="192.0.2.7:4444", exe=None, uid=None)["client"]
    assert Filters(tools=("192.0.2.*",)).takes_client(client)

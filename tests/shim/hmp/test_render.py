"""HMP's texts. Goldens are named by the QEMU that printed them: 5.2.0, 7.2.22, 10.0.13 and 11.1.3 of Debian.

The tables of ROWS are qemu-img's, whose rows and titles come from the same function as those of `info snapshots`.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shim.hmp import render
from shim.hmp.render import Snapshot, error, no_vmstate_candidate, snapshot_table
from shim.qmp import QEMUVersion

V5_2 = QEMUVersion(5, 2, 0)
V7_2 = QEMUVersion(7, 2, 22)
V10_0 = QEMUVersion(10, 0, 13)
V11_1 = QEMUVersion(11, 1, 3)

DATE_SEC = 1795454286
UNDER_100_HOURS_NS = 359_999_999_999_999
OVER_1000_HOURS_NS = 12_345_678_901_234_567


def row(
    name: str, size: int = 0, *, snapshot_id: str = "1", clock_ns: int = UNDER_100_HOURS_NS, icount: int | None = None
) -> Snapshot:
    return Snapshot(snapshot_id, name, size, DATE_SEC, clock_ns, icount)


def utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def table(*rows: Snapshot, partial: Sequence[tuple[str, Sequence[Snapshot]]] = (), version: QEMUVersion = V7_2) -> str:
    return snapshot_table(on_all_disks=rows, partial=partial, version=version, local_time=utc)


def lines(text: str) -> list[str]:
    assert text.endswith("\r\n")
    return text.removesuffix("\r\n").split("\r\n")


ROWS = [
    row("t1", 999),
    row("a" * 16, 1000, snapshot_id="2", clock_ns=OVER_1000_HOURS_NS),
    row("b" * 17, 1023, snapshot_id="3"),
    row("c" * 18, 1024, snapshot_id="4", clock_ns=OVER_1000_HOURS_NS),
    row("d" * 40, 1536, snapshot_id="5"),
    row("t1", 29_674_700),
    row("a" * 16, 4_445_962, snapshot_id="2", clock_ns=OVER_1000_HOURS_NS),
]

TABLE_5_2_0 = [
    "ID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT",
    "1         t1                  999 B 2026-11-23 17:18:06 99:59:59.999           ",
    "2         aaaaaaaaaaaaaaaa  0.977 KiB 2026-11-23 17:18:063429:21:18.901           ",
    "3         bbbbbbbbbbbbbbbbb 0.999 KiB 2026-11-23 17:18:06 99:59:59.999           ",
    "4         cccccccccccccccccc   1 KiB 2026-11-23 17:18:063429:21:18.901           ",
    "5         dddddddddddddddddddddddddddddddddddddddd 1.5 KiB 2026-11-23 17:18:06 99:59:59.999           ",
    "1         t1                28.3 MiB 2026-11-23 17:18:06 99:59:59.999           ",
    "2         aaaaaaaaaaaaaaaa  4.24 MiB 2026-11-23 17:18:063429:21:18.901           ",
]
TABLE_7_2_22 = [
    "ID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT",
    "1         t1                  999 B 2026-11-23 17:18:06 99:59:59.999           ",
    "2         aaaaaaaaaaaaaaaa 0.977 KiB 2026-11-23 17:18:063429:21:18.901           ",
    "3         bbbbbbbbbbbbbbbbb 0.999 KiB 2026-11-23 17:18:06 99:59:59.999           ",
    "4         cccccccccccccccccc    1 KiB 2026-11-23 17:18:063429:21:18.901           ",
    "5         dddddddddddddddddddddddddddddddddddddddd  1.5 KiB 2026-11-23 17:18:06 99:59:59.999           ",
    "1         t1               28.3 MiB 2026-11-23 17:18:06 99:59:59.999           ",
    "2         aaaaaaaaaaaaaaaa 4.24 MiB 2026-11-23 17:18:063429:21:18.901           ",
]
TABLE_10_0_13 = TABLE_11_1_3 = [
    "ID      TAG               VM_SIZE                DATE        VM_CLOCK     ICOUNT",
    "1       t1                  999 B 2026-11-23 17:18:06  0099:59:59.999         --",
    "2       aaaaaaaaaaaaaaaa 0.977 KiB 2026-11-23 17:18:06  3429:21:18.901         --",
    "3       bbbbbbbbbbbbbbbbb 0.999 KiB 2026-11-23 17:18:06  0099:59:59.999         --",
    "4       cccccccccccccccccc    1 KiB 2026-11-23 17:18:06  3429:21:18.901         --",
    "5       dddddddddddddddddddddddddddddddddddddddd  1.5 KiB 2026-11-23 17:18:06  0099:59:59.999         --",
    "1       t1               28.3 MiB 2026-11-23 17:18:06  0099:59:59.999         --",
    "2       aaaaaaaaaaaaaaaa 4.24 MiB 2026-11-23 17:18:06  3429:21:18.901         --",
]


@pytest.mark.parametrize(
    ("version", "golden"),
    [(V5_2, TABLE_5_2_0), (V7_2, TABLE_7_2_22), (V10_0, TABLE_10_0_13), (V11_1, TABLE_11_1_3)],
    ids=["5.2.0", "7.2.22", "10.0.13", "11.1.3"],
)
def test_titles_and_rows(version: QEMUVersion, golden: list[str]) -> None:
    text = table(partial=[("d0", ROWS)], version=version)
    assert lines(text)[4:] == golden


@pytest.mark.parametrize(
    ("version", "golden"),
    [
        (QEMUVersion(5, 2, 99), TABLE_5_2_0),
        (QEMUVersion(6, 0, 0), TABLE_7_2_22),
        (QEMUVersion(8, 2, 99), TABLE_7_2_22),
        (QEMUVersion(9, 0, 0), TABLE_10_0_13),
    ],
    ids=["5.2.99", "6.0.0", "8.2.99", "9.0.0"],
)
def test_layout_changed_with_6_0_and_9_0(version: QEMUVersion, golden: list[str]) -> None:
    assert lines(table(partial=[("", ROWS)], version=version))[4:] == golden


# `savevm` of each tag on two disks, and a snapshot of d1 alone. QEMU pads by the bytes that it holds: two for U+0000,
# one for a line feed, which becomes CRLF only where the monitor prints it.
TAGS = ["t1", "a b", "é", "日本", "a\0b", "a\nb", "a\rb", ""]
MONITOR_7_2_22 = (
    "List of snapshots present on all disks:\r\n"
    "ID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT\r\n"
    "--        t1                378 KiB 2026-11-23 17:18:06 00:00:00.000           \r\n"
    "--        a b               378 KiB 2026-11-23 17:18:06 00:00:00.000           \r\n"
    "--        é                378 KiB 2026-11-23 17:18:06 00:00:00.000           \r\n"
    "--        日本            378 KiB 2026-11-23 17:18:06 00:00:00.000           \r\n"
    "--        a\0b              378 KiB 2026-11-23 17:18:06 00:00:00.000           \r\n"
    "--        a\r\nb               378 KiB 2026-11-23 17:18:06 00:00:00.000           \r\n"
    "--        a\rb               378 KiB 2026-11-23 17:18:06 00:00:00.000           \r\n"
    "--                          378 KiB 2026-11-23 17:18:06 00:00:00.000           \r\n"
    "\r\n"
    "List of partial (non-loadable) snapshots on 'd1':\r\n"
    "ID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT\r\n"
    "9         x                     0 B 2026-11-23 17:18:06 00:00:00.000           \r\n"
)


def test_whole_text() -> None:
    common = [row(tag, 387_381, snapshot_id=str(number), clock_ns=0) for number, tag in enumerate(TAGS, 1)]
    partial = [("d0", []), ("d1", [row("x", snapshot_id="9", clock_ns=0)])]
    assert table(*common, partial=partial) == MONITOR_7_2_22


def test_none_is_common() -> None:
    text = table(partial=[("", [row("x")]), ("d1", [row("y")])])
    assert lines(text)[:4] == [
        "List of snapshots present on all disks:",
        "None",
        "",
        "List of partial (non-loadable) snapshots on '':",
    ]
    assert lines(text)[6:8] == ["", "List of partial (non-loadable) snapshots on 'd1':"]


@pytest.mark.parametrize("partial", [[], [("d0", [])], [("d0", []), ("d1", [])]], ids=len)
def test_no_snapshot_at_all(partial: list[tuple[str, list[Snapshot]]]) -> None:
    assert table(partial=partial) == render.NO_SNAPSHOT == "There is no snapshot available.\r\n"


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "0.977 KiB"),
        (1023, "0.999 KiB"),
        (1024, "1 KiB"),
        (10234, "9.99 KiB"),
        (1000 * 1024 - 1, "1e+03 KiB"),
        (1000 * 1024, "0.977 MiB"),
        (1023 * 1024, "0.999 MiB"),
        (4_445_962, "4.24 MiB"),
        (29_674_700, "28.3 MiB"),
        (1_048_127_424, "1e+03 MiB"),
        (2**30, "1 GiB"),
        (2**40, "1 TiB"),
        (2**50, "1 PiB"),
        (2**63 - 1, "8 EiB"),
    ],
)
def test_size(size: int, shown: str) -> None:
    assert table(row("t", size)).split("ICOUNT\r\n")[1].partition(" 2026")[0].split(maxsplit=2)[2] == shown


@pytest.mark.parametrize(
    ("version", "icount", "end"),
    [
        (V7_2, None, "99:59:59.999           \r\n"),
        (V7_2, 0, "99:59:59.999          0\r\n"),
        (V7_2, 123_456_789_012, "99:59:59.999123456789012\r\n"),
        (V10_0, None, "0099:59:59.999         --\r\n"),
        (V10_0, 0, "0099:59:59.999          0\r\n"),
        (V10_0, 123_456_789_012, "0099:59:59.999 123456789012\r\n"),
    ],
)
def test_icount(version: QEMUVersion, icount: int | None, end: str) -> None:
    assert table(row("t", icount=icount), version=version).endswith(" " + end)


def test_clock_counts_hours_without_bound() -> None:
    clocks = [row("t", clock_ns=ns) for ns in (0, 1_999_999, 3_600_000_000_000, 10**18)]
    shown = [line.split()[-2] for line in lines(table(*clocks, version=V10_0))[2:]]
    assert shown == ["0000:00:00.000", "0000:00:00.001", "0001:00:00.000", "277777:46:40.000"]


def test_date_is_in_the_given_local_time() -> None:
    text = snapshot_table(
        on_all_disks=[row("t")],
        partial=[],
        version=V7_2,
        local_time=lambda seconds: datetime(1999, 2, 3, 4, 5, seconds % 60),
    )
    assert "1999-02-03 04:05:06" in text


def test_order_is_kept_and_a_name_twice_is_two_rows() -> None:
    text = table(row("b"), row("a"), row("b", 5))
    assert [line.split()[1:3] for line in lines(text)[2:]] == [["b", "0"], ["a", "0"], ["b", "5"]]


def test_row_from_wire() -> None:
    """The members as QEMU 7.2.22 gives them; `icount` only under record/replay."""
    info = {
        "vm-clock-nsec": 118_901_000,
        "name": "t1",
        "date-sec": DATE_SEC,
        "date-nsec": 436_083_000,
        "vm-clock-sec": 12,
        "id": "1",
        "vm-state-size": 387_072,
    }
    snapshot = Snapshot("1", "t1", 387_072, DATE_SEC, 12_118_901_000, None)
    assert Snapshot.from_wire(info) == snapshot
    assert Snapshot.from_wire(info | {"icount": 0}) == replace(snapshot, icount=0)


@pytest.mark.parametrize(
    ("desc", "text"),
    [
        ("", "Error: \r\n"),
        ("Could not create snapshot 'p' on 'x'", "Error: Could not create snapshot 'p' on 'x'\r\n"),
        (
            "Snapshot 'a\nb' does not exist in one or more devices",
            "Error: Snapshot 'a\r\nb' does not exist in one or more devices\r\n",
        ),
        ("a\r\nb", "Error: a\r\r\nb\r\n"),
    ],
)
def test_error(desc: str, text: str) -> None:
    assert error(desc) == text


@pytest.mark.parametrize(
    ("version", "text"),
    [
        (V5_2, "No available block device supports snapshots\r\n"),
        (QEMUVersion(6, 0, 0), "no block device can store vmstate for snapshot\r\n"),
        (V7_2, "no block device can store vmstate for snapshot\r\n"),
        (V10_0, "no block device can store vmstate for snapshot\r\n"),
        (QEMUVersion(10, 1, 5), "no block device can store vmstate for snapshot\r\n"),
        (QEMUVersion(10, 2, 0), "Error: no block device can store vmstate for snapshot\r\n"),
        (V11_1, "Error: no block device can store vmstate for snapshot\r\n"),
    ],
    ids=str,
)
def test_no_vmstate_candidate(version: QEMUVersion, text: str) -> None:
    assert no_vmstate_candidate(version) == text

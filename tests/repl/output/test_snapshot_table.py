"""The table of snapshots on terminals of several widths: whole outputs, and what holds for all of them."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import pytest
from prompt_toolkit.utils import get_cwidth

from repl.output.layout import Fragment
from repl.output.snapshot_table import age_text, ago_text, shown_tag, snapshot_table
from shim.advice.inventory import Held, TagEntry, take_inventory
from shim.advice.obstacles import obstacles
from shim.advice.vm_facts import VMFacts
from shim.graph.policy import Policy
from shim.graph.selection import select
from shim.plans.repairs import Fault, FaultKind, Repair, TypedLine
from tests.support.repl.fragments import CHARACTERS, assert_fits, plain, shown, split
from tests.support.shim.graphs import VM_STATE_BYTES, Machine, Snapshot, rows
from tests.support.shim.snapshot_plans import raw_data, two

DATE: Final = 1_790_000_000
NOW: Final = datetime.fromtimestamp(DATE + 3 * 3600, UTC)
WIDTHS: Final = (40, 60, 80, 120)


def utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def table(entries: Sequence[TagEntry], width: int = 80, obstacles: Sequence[Fault] = ()) -> list[Fragment]:
    return snapshot_table(entries, obstacles=obstacles, width=width, now=NOW, local_time=utc)


def dated(snapshots: Sequence[Snapshot], after_s: int = 0) -> list[Snapshot]:
    return [replace(row, date_ns=(DATE + after_s) * 10**9, vm_clock_ns=3_723_045_000_000) for row in snapshots]


def inventory(machine: Machine) -> tuple[TagEntry, ...]:
    graph = machine.graph()
    return take_inventory(graph, select(graph, Policy()))


def entry(tag: str = "t", *faults: Fault, nodes: Sequence[Held] = (Held("d0", 1), Held("d1", 1))) -> TagEntry:
    return TagEntry(tag, DATE, 3_723_045_000_000, VM_STATE_BYTES, ("d0",), tuple(nodes), (), faults)


SOME: Final = inventory(
    two(
        [*dated(rows("whole", "part", vm_state=True)), *dated(rows("twice", "twice", vm_state=True, first_id=3), 60)],
        [*dated(rows("whole")), *dated(rows("twice", first_id=3), 60)],
    )
)

AT_100: Final = """\
TAG    VM STATE  AGE  DATE                 VM CLOCK      DISKS        STATE ON
twice  411 KiB   2 h  2026-09-21 14:14:20  01:02:03.045  d0 (2x), d1  d0
  ! duplicated: d0 has it 2 times, and loading would silently take the oldest
    repair: qmp snapshot-delete job-id=repair tag="twice" devices=["a"]
    then: qmp job-dismiss id=repair
      removes the oldest and leaves the newest, which can be loaded then
part   411 KiB   3 h  2026-09-21 14:13:20  01:02:03.045  d0           d0
  ! partial: missing on d1; loadvm says that it does not exist in one or more devices
    repair: device_del v1
      unplugs d1 (a guest has to let a PCI device go), if it was plugged in after the snapshot; only
      once v1 has gone (event DEVICE_DELETED), the rest can be loaded
    or (option): --exclude d1
      leaves d1 out (in a configuration: exclude = ["d1"]); then the rest can be loaded, and its
      content stays as it is
    or: qmp snapshot-load job-id=repair tag="part" vmstate="a" devices=["a"]
    then: qmp job-dismiss id=repair
      loads it on d0 alone; the content of d1 stays as it is
whole  411 KiB   3 h  2026-09-21 14:13:20  01:02:03.045  d0, d1       d0"""

AT_50: Final = """\
TAG    VM STATE  AGE  DISKS        STATE ON
twice  411 KiB   2 h  d0 (2x), d1  d0
  ! duplicated: d0 has it 2 times, and loading
    would silently take the oldest
    repair: qmp snapshot-delete job-id=repair
        tag="twice" devices=["a"]
    then: qmp job-dismiss id=repair
      removes the oldest and leaves the newest,
      which can be loaded then"""

AT_40: Final = """\
  ! partial: missing on d1; loadvm says
    that it does not exist in one or
    more devices
    repair: device_del v1
      unplugs d1 (a guest has to let a
      PCI device go), if it was plugged
      in after the snapshot; only once
      v1 has gone (event
      DEVICE_DELETED), the rest can be
      loaded
    or (option): --exclude d1
      leaves d1 out (in a configuration:
      exclude = ["d1"]); then the rest
      can be loaded, and its content
      stays as it is
    or: qmp snapshot-load job-id=repair
        tag="part" vmstate="a"
        devices=["a"]
    then: qmp job-dismiss id=repair
      loads it on d0 alone; the content
      of d1 stays as it is
whole
  disks: d0, d1
  VM state: 411 KiB on d0
  saved 3 h ago (2026-09-21 14:13:20)
  VM clock 01:02:03.045"""


def test_wide_table() -> None:
    assert shown(table(SOME, 100)) == AT_100


def test_table_without_the_columns_that_have_no_room() -> None:
    assert shown(table(SOME, 50)).startswith(AT_50)


def test_narrow_form() -> None:
    assert shown(table(SOME, 40)).endswith(AT_40)


def test_what_keeps_snapshots_from_sight_is_told() -> None:
    """There are some, so "There is no snapshot" would be wrong."""
    wait = Repair((), "wait for the end of the job")
    held = Fault(FaultKind.UNABLE, "the backup job 'j' runs on d0", (wait,))
    assert shown(table([], obstacles=[held])) == (
        "No snapshot can be seen now.\n  ! unable: the backup job 'j' runs on d0\n    repair: wait for the end of the job"
    )


@pytest.mark.parametrize("kind", [FaultKind.BLOCKED, FaultKind.HIDDEN])
def test_savevm_is_not_proposed_where_it_would_fail_or_the_snapshots_are_elsewhere(kind: FaultKind) -> None:
    assert shown(table([], obstacles=[Fault(kind, "why")])) == f"There is no snapshot.\n  ! {kind}: why"


def test_what_is_in_the_way_of_loading_does_not_speak_against_the_first_snapshot() -> None:
    busy = Fault(FaultKind.BUSY, "why")
    assert shown(table([], obstacles=[busy])) == "There is no snapshot. To make one: savevm NAME\n  ! busy: why"


def test_styles() -> None:
    (header, first, *_) = split(table(SOME, 100))
    assert {style for style, text in header if text.strip()} == {"class:table.header"}
    assert ("class:tag", "twice") in first
    assert ("class:dim", "2026-09-21 14:14:20") in first
    assert ("class:fault", "!") in table(SOME, 100)
    assert ("class:repair", " device_del") in table(SOME, 100)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_snapshot(width: int) -> None:
    assert " ".join(plain(table([], width)).split()) == "There is no snapshot. To make one: savevm NAME"
    assert ("class:repair", " savevm NAME") in table([], 80)


def test_columns_go_in_an_order() -> None:
    left = [plain(split(table([entry()], width))[0]).split("  ") for width in (90, 65, 50)]
    titles = [[title.strip() for title in line if title] for line in left]
    assert titles[0] == ["TAG", "VM STATE", "AGE", "DATE", "VM CLOCK", "DISKS", "STATE ON"]
    assert titles[1] == ["TAG", "VM STATE", "AGE", "DATE", "DISKS", "STATE ON"]
    assert titles[2] == ["TAG", "VM STATE", "AGE", "DISKS", "STATE ON"]


def test_disks_take_more_lines_where_they_are_many() -> None:
    shown = plain(table([entry(nodes=[Held(f"disk{number}", 1) for number in range(6)])], 60)).splitlines()
    assert [line.split("   ")[-1].strip() for line in shown[1:]] == ["d0", "disk2, disk3,", "disk4, disk5"]
    assert "disk0, disk1," in shown[1]


def test_what_is_in_the_way_of_all_tags_is_told_once() -> None:
    """An entry has it as well, because loadvm answers with it."""
    graph = raw_data(dated(rows("t", "u", vm_state=True))).graph()
    selection = select(graph, Policy())
    told = plain(table(take_inventory(graph, selection), 120, obstacles(graph, selection, VMFacts())))
    assert told.count("! unable: d1 (format raw) cannot hold a snapshot") == 1
    assert told.splitlines()[4].startswith("    repair: device_del v1")


def test_way_out_of_two_faults_is_told_once() -> None:
    way = Repair((TypedLine(("block_job_cancel", "j")),), "ends it")
    faults = (Fault(FaultKind.PARTIAL, "why", (way,)), Fault(FaultKind.MIXED, "why", (way,)))
    assert plain(table([entry("t", *faults)], 120)).count("block_job_cancel j") == 1


def test_disks_that_keep_no_date() -> None:
    shown = plain(table([replace(entry(), date_sec=0)], 120)).splitlines()[1]
    assert shown.split() == ["t", "411", "KiB", "-", "-", "01:02:03.045", "d0,", "d1", "d0"]
    assert "saved at an unknown time" in plain(table([replace(entry(), date_sec=0)], 40))


def test_snapshot_without_vm_state() -> None:
    bare = replace(entry(), vm_state_bytes=0, vmstate_nodes=())
    assert plain(table([bare], 120)).splitlines()[1].split()[1] == "-"
    assert "  no VM state\n" in plain(table([bare], 40))


# -- ages -----------------------------------------------------------------------------------------------------------------

MINUTE, HOUR, DAY = 60, 3600, 86_400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (MINUTE, "1 min"),
        (HOUR - 1, "59 min"),
        (HOUR, "1 h"),
        (DAY - 1, "23 h"),
        (DAY, "1 day"),
        (5 * DAY, "5 days"),
        (60 * DAY - 1, "59 days"),
        (62 * DAY, "2 months"),
        (800 * DAY, "2 years"),
        (-5 * MINUTE, "5 min in the future"),
    ],
)
def test_age(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


def test_age_in_a_sentence() -> None:
    assert ago_text(2 * HOUR) == "2 h ago"
    assert ago_text(-DAY) == "1 day in the future"


def test_age_does_not_depend_on_the_time_zone_that_dates_are_shown_in() -> None:
    elsewhere = timezone(timedelta(hours=9))
    shown = snapshot_table([entry()], width=120, now=NOW, local_time=lambda seconds: datetime.fromtimestamp(seconds, elsewhere))
    assert "  3 h  2026-09-21 23:13:20  " in plain(shown)


# -- tags that are trouble ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "shown"),
    [
        ("t1", "t1"),
        ("a b", "a b"),
        ("é日", "é日"),
        ("", "''"),
        (" t", "' t'"),
        ("a\nb", r"'a\nb'"),
        ("\x1b[2J", r"'\x1b[2J'"),
        ("\u202egnp", r"'\u202egnp'"),
        ("\ud800", r"'\ud800'"),
    ],
)
def test_tag_is_shown_and_not_obeyed(tag: str, shown: str) -> None:
    assert shown_tag(tag) == shown


PARTIAL: Final = Fault(FaultKind.PARTIAL, "missing", (Repair((TypedLine(("savevm",), "t\x01"),), "saves"),))


@pytest.mark.parametrize("width", WIDTHS)
def test_command_that_cannot_be_typed_says_so(width: int) -> None:
    shown = plain(table([entry("t\x01", PARTIAL)], width))
    assert r"repair: savevm t\x01" in shown
    assert "with the Tab key" in " ".join(shown.split())


def test_long_tag_is_cut_and_its_command_is_not() -> None:
    tag = "日" * 100
    long = Fault(FaultKind.PARTIAL, "missing", (Repair((TypedLine(("savevm",), tag),), "saves"),))
    for width in WIDTHS:
        shown = split(table([entry(tag, long)], width))
        (row,) = [text for line in shown for style, text in line if style == "class:tag"]
        assert row.endswith("日…")
        assert get_cwidth(row) <= width
        assert ("class:repair", tag) in [fragment for line in shown for fragment in line]


# -- what holds at every width --------------------------------------------------------------------------------------------


def random_tag(rng: random.Random) -> str:
    return "".join(rng.choices(CHARACTERS, k=rng.choice([0, 1, 3, 8, 30, 255])))


def random_fault(rng: random.Random, tag: str) -> Fault:
    lines = [TypedLine(("savevm",), tag), TypedLine(("qmp", "job-dismiss", "id=repair"))]
    repairs = [
        Repair(tuple(rng.choices(lines, k=rng.randint(0, 3))), "does " + " ".join(rng.choices(["it", "that", "well"], k=20)))
        for _ in range(rng.randint(1, 3))
    ]
    return Fault(rng.choice(list(FaultKind)), " ".join(rng.choices(["bad", "missing", "x" * 90], k=10)), tuple(repairs))


def random_entry(rng: random.Random) -> TagEntry:
    labels = [f"{rng.choice(['d', 'disk-with-a-long-name-', 'x' * 60])}{number}" for number in range(rng.choice([1, 2, 12]))]
    tag = random_tag(rng)
    faults = tuple(random_fault(rng, tag) for _ in range(rng.choice([0, 0, 1, 2])))
    date_sec = rng.choice([0, DATE, DATE - 10**8, DATE + 10**6])
    held = tuple(Held(label, rng.randint(1, 3)) for label in labels)
    return TagEntry(tag, date_sec, rng.randint(0, 10**18), rng.choice([0, 10**9]), tuple(labels[:1]), held, (), faults)


@pytest.mark.parametrize("width", [10, 20, *WIDTHS])
@pytest.mark.parametrize("seed", range(25))
def test_no_line_is_too_wide(seed: int, width: int) -> None:
    rng = random.Random(seed)
    entries = [random_entry(rng) for _ in range(rng.randint(0, 6))]
    if rng.random() < 0.5:
        entries = [replace(entry, nodes=(Held("d0", 1),), vmstate_nodes=("d0",)) for entry in entries]
    assert_fits(table(entries, width), width)

"""What commands under way come down to."""

import pytest

from repl.progress.work import Kind, Work, is_question, read_ram_bytes, state_bytes, work_of
from shim.graph.blockgraph import BlockGraph, BlockNode
from shim.graph.snapshot_rows import SnapshotRows
from shim.plans.intent import internal_tag
from shim.qmp import Execute

SAVE, LOAD = Execute("snapshot-save", {"tag": "t"}), Execute("snapshot-load", {"tag": "t"})
LOOK = Execute("query-jobs")
SAVED_FIRST = Execute("snapshot-save", {"tag": internal_tag("hmprepl-0123456789abcdef-01234567-1", "t")})


def hmp(line: str) -> Execute:
    return Execute("human-monitor-command", {"command-line": line})


@pytest.mark.parametrize(
    ("under_way", "work"),
    [
        ((), None),
        ((LOOK,), None),
        ((SAVE, LOOK), Work(Kind.SAVE)),
        ((Execute("snapshot-save"),), Work(Kind.SAVE)),
        ((SAVED_FIRST, LOOK), Work(Kind.SAVE, parts=2)),
        ((LOAD, LOOK), Work(Kind.LOAD, "t")),
        ((Execute("snapshot-load", {"tag": 5}),), None),
        ((Execute("snapshot-delete", {"tag": "t"}),), None),
        ((hmp("savevm"),), Work(Kind.SAVE)),
        ((hmp('loadvm "a b"'),), Work(Kind.LOAD, "a b")),
        ((hmp("delvm t"),), None),
        ((hmp("savevm a b"),), None),
        ((Execute("human-monitor-command", {"command-line": 5}),), None),
    ],
)
def test_work(under_way: tuple[Execute, ...], work: Work | None) -> None:
    assert work_of(under_way) == work


def test_second_of_two_saves_is_known_by_the_first() -> None:
    assert work_of((SAVE,), (LOOK, SAVED_FIRST)) == Work(Kind.SAVE, parts=2)
    assert work_of((SAVE,), (LOOK, SAVE)) == Work(Kind.SAVE)


@pytest.mark.parametrize(
    ("under_way", "is_one"),
    [
        ((), True),
        ((LOOK, Execute("x-debug-query-block-graph"), Execute("__hmpshim_plan", {"command-line": "savevm t"})), True),
        ((hmp("info status"),), True),
        ((hmp(" help savevm"),), True),
        ((hmp("savevm t"),), False),
        ((hmp(""),), False),
        ((LOOK, SAVE), False),
        ((Execute("migrate"),), False),
    ],
)
def test_question_is_answered_in_no_time(under_way: tuple[Execute, ...], is_one: bool) -> None:
    assert is_question(under_way) is is_one


def graph(*snapshots: tuple[str, int, int]) -> BlockGraph:
    """Make a graph with a disk for each snapshot: its tag, the size of the VM state, and when it was made."""
    clock = {"vm-clock-sec": 0, "vm-clock-nsec": 0}
    nodes = {}
    for number, (tag, size, date) in enumerate(snapshots):
        row = {"id": "1", "name": tag, "vm-state-size": size, "date-sec": date, **clock}
        nodes[f"d{number}"] = BlockNode(f"d{number}", "qcow2", snapshots=SnapshotRows([row]))
    return BlockGraph(nodes, tuple(nodes))


def test_next_state_may_be_as_large_as_the_newest() -> None:
    assert state_bytes(graph(), Work(Kind.SAVE)) is None
    assert state_bytes(graph(("a", 0, 9)), Work(Kind.SAVE)) is None
    assert state_bytes(graph(("a", 5, 1), ("b", 7, 3), ("c", 6, 2), ("d", 0, 4)), Work(Kind.SAVE)) == 7


def test_state_that_is_loaded_is_as_large_as_it_is() -> None:
    assert state_bytes(graph(("a", 5, 1), ("b", 7, 3)), Work(Kind.LOAD, "a")) == 5
    assert state_bytes(graph(("a", 5, 1)), Work(Kind.LOAD, "b")) is None


@pytest.mark.parametrize(
    ("told", "ram_bytes"),
    [
        ({"base-memory": 5, "plugged-memory": 2}, 7),
        ({"base-memory": 5}, 5),
        ({}, None),
        ([], None),
        ({"base-memory": "5"}, None),
    ],
)
def test_ram(told: object, ram_bytes: int | None) -> None:
    assert read_ram_bytes(told) == ram_bytes

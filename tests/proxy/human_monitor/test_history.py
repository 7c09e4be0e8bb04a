"""What a monitor remembers, and the walk through it (the sizes and the position at the newest line: QEMU 5.2 to 11.1)."""

import pytest

from proxy.human_monitor.history import MAX_LINES, History
from shim.qmp import QEMUVersion

V5_2 = QEMUVersion(5, 2)
V7_2 = QEMUVersion(7, 2)


def history_of(*lines: bytes, version: QEMUVersion = V7_2) -> History:
    history = History(version)
    for line in lines:
        history.add(line)
    return history


def full_history(version: QEMUVersion = V7_2) -> History:
    return history_of(*(b"%d" % number for number in range(MAX_LINES)), version=version)


@pytest.mark.parametrize(
    ("added", "kept"),
    [
        ([b"a", b"", b"b"], [b"a", b"b"]),
        ([b"  ", b" a ", b"a"], [b"  ", b" a ", b"a"]),
        ([b"a", b"b", b"a"], [b"b", b"a"]),
        ([b"a", b"a"], [b"a"]),
    ],
    ids=["empty lines are not kept", "blanks are", "a line said again moves to the end", "and stays there"],
)
def test_lines(added: list[bytes], kept: list[bytes]) -> None:
    assert history_of(*added).lines == kept


def test_oldest_line_gives_way_to_the_65th() -> None:
    history = full_history()
    history.add(b"new")
    assert (len(history.lines), history.lines[0], history.lines[-1]) == (64, b"1", b"new")


def test_walk_ends_at_the_oldest_line_and_past_the_newest() -> None:
    history = history_of(b"a", b"b")
    assert [history.previous() for _ in range(3)] == [b"b", b"a", None]
    assert [history.next() for _ in range(3)] == [b"b", b"", None]


def test_nothing_is_recalled_from_an_empty_history() -> None:
    history = history_of()
    assert (history.previous(), history.next()) == (None, None)


def test_new_line_ends_the_walk_and_an_empty_one_does_not() -> None:
    history = history_of(b"a", b"b", b"c")
    history.previous()
    history.add(b"")
    assert history.previous() == b"b"
    history.add(b"d")
    assert history.previous() == b"d"


def test_edited_line_is_a_new_one() -> None:
    history = history_of(b"a", b"b")
    assert (history.previous(), history.previous()) == (b"b", b"a")
    history.add(b"ax")
    assert history.lines == [b"a", b"b", b"ax"]


@pytest.mark.parametrize(("version", "recalled"), [(V5_2, b"63"), (V7_2, b"62")])
def test_newest_line_of_a_full_history_said_again(version: QEMUVersion, recalled: bytes) -> None:
    """From 7.2 on the walk goes on from it, as if it had not been entered."""
    history = full_history(version)
    assert history.previous() == b"63"
    history.add(b"63")
    assert history.previous() == recalled
    assert len(history.lines) == MAX_LINES

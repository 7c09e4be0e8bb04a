"""A line with what is to become of its output, and how often it is wanted."""

import pytest

from repl.lines.lines import EmptyLine, HelpLine, PlanLine, QMPLine
from repl.lines.scanning import LineError
from repl.outlets.redirection import Outlet, ToFile, ToShell
from repl.outlets.typed import PagerLine, TimingLine, Typed, read_typed
from shim.hmp.line import HMPLine
from tests.support.repl.typed_lines import FACTS, NOTHING_KNOWN


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("", Typed(EmptyLine())),
        ("info status", Typed(HMPLine.read("info status"))),
        ("info status | cat", Typed(HMPLine.read("info status"), ToShell("cat"))),
        ("help > x", Typed(HelpLine(""), ToFile("x", appends=False))),
        ("timing", Typed(TimingLine(None))),
        (r" \timing on ", Typed(TimingLine(True))),
        ("timing off", Typed(TimingLine(False))),
        ("pager", Typed(PagerLine(""))),
        ("pager off ", Typed(PagerLine("off"))),
        ("pager less -S | x", Typed(PagerLine("less -S | x"))),
    ],
)
def test_line_is_read(line: str, typed: Typed) -> None:
    assert read_typed(line, FACTS) == typed


@pytest.mark.parametrize(
    ("words", "every_s"),
    [
        ("watch", 2.0),
        (r"\watch", 2.0),
        *(("watch 1", 1.0), ("watch 0.5", 0.5), ("watch .5", 0.5), ("watch 3.", 3.0), ("watch 86400", 86400.0)),
        *(("watch -n 1", 1.0), ("watch -n1", 1.0), ("  watch   0.1 ", 0.1)),
    ],
)
@pytest.mark.parametrize("outlet", [None, ToShell("grep x")])
def test_what_looks_is_watched(words: str, every_s: float, outlet: Outlet | None) -> None:
    end = "" if outlet is None else " | grep x"
    for looking in ("info status", "print 1", "p 1|2", "x 0", "xp 0", "qom-list /", "qom-get / type"):
        assert read_typed(f"{words} {looking}{end}", NOTHING_KNOWN) == Typed(HMPLine.read(looking), outlet, every_s)
    assert read_typed(f"{words} qmp query-x{end}", NOTHING_KNOWN) == Typed(QMPLine("query-x", {}), outlet, every_s)
    assert read_typed(f"{words} plan savevm{end}", NOTHING_KNOWN) == Typed(PlanLine(HMPLine.read("savevm")), outlet, every_s)


@pytest.mark.parametrize(
    "asked",
    [
        *("savevm t", "loadvm t", "delvm t", "quit", "stop", "cont", "system_reset", "i /b 0x60", "qemu-io d read", "help"),
        *("qmp stop", "qmp snapshot-save", "qmp quit", "watch 1 info status", "timing", "pager", "events", "exit", "# x"),
    ],
)
def test_what_changes_something_or_asks_is_not_repeated(asked: str) -> None:
    with pytest.raises(LineError, match="watch repeats only what shows the VM") as raised:
        read_typed(f"watch 1 {asked}", NOTHING_KNOWN)
    assert raised.value.position == len("watch 1 ")


@pytest.mark.parametrize(
    ("line", "position", "message"),
    [
        ("watch", 5, "watch needs a command: watch 2 info status"),
        ("watch 2 ", 8, "watch needs a command: watch 2 info status"),
        ("watch 0 info status", 6, "watch takes from 0.1 to 86400 seconds"),
        ("watch -n 86401 info status", 9, "watch takes from 0.1 to 86400 seconds"),
        ("watch 2 info mtree |", 20, "'|' needs a shell command after it"),
        ("timing maybe", 7, "timing is on or off"),
        ("timing on off", 10, "extraneous characters at the end of the line"),
    ],
)
def test_fault_is_shown_in_its_place(line: str, position: int, message: str) -> None:
    with pytest.raises(LineError) as raised:
        read_typed(line, FACTS)
    assert (raised.value.position, raised.value.message) == (position, message)


def test_name_that_was_meant_is_mended_where_it_stands() -> None:
    with pytest.raises(LineError) as raised:
        read_typed("watch 2 info sttus | cat", FACTS)
    assert raised.value.corrected("watch 2 info sttus | cat") == "watch 2 info status | cat"

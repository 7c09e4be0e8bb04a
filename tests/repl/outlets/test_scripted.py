"""A script's lines: what is HMP's goes to QEMU whole."""

from typing import Any

import pytest

from repl.lines.lines import ClearLine, HelpLine, QMPLine
from repl.lines.scanning import LineError
from repl.outlets.scripted import is_for_prompt, outlet_advice, read_scripted
from shim.hmp.line import HMPLine


@pytest.mark.parametrize(
    "line", ["info mtree | grep pci", "info mtree > x", "p 1|2", "savevm | x", "help | less", "bad \ud800"[:3]]
)
def test_line_of_hmps_is_whole(line: str) -> None:
    assert read_scripted(line) == HMPLine.read(line)


@pytest.mark.parametrize(
    ("line", "asked"),
    [("clear", ClearLine()), (r"\? x", HelpLine("x")), ("help qmp a", HelpLine("qmp a")), ("qmp a", QMPLine("a", {}))],
)
def test_line_of_ours_is_read(line: str, asked: Any) -> None:
    assert read_scripted(line) == asked


@pytest.mark.parametrize("line", ["qmp a | jq", "savevm \ud800"])
def test_line_that_is_wrong_is_refused(line: str) -> None:
    with pytest.raises(LineError):
        read_scripted(line)


def test_what_is_about_reading_is_for_the_prompt() -> None:
    assert all(map(is_for_prompt, ("watch 2 info status", r"\timing", "timing on", " pager off", r"\watch")))
    assert not any(map(is_for_prompt, ("info status", "qmp a", "watchdog_action reset", "")))


@pytest.mark.parametrize(
    ("line", "is_told"), [("info mtree | grep x", True), ("info mtree >", True), ("p 1|2", False), ("a|b", False)]
)
def test_whoever_expects_a_pipe_is_told(line: str, is_told: bool) -> None:
    assert (outlet_advice(line) is not None) is is_told

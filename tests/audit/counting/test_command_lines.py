"""Lines that come again are read once, and very long ones are not kept."""

import pytest

from audit.counting.command_lines import read_line, tag_of
from shim.hmp.line import HMPLine
from shim.records.excerpt import MAX_TEXT_CHARS


def test_line_is_read_once() -> None:
    assert read_line("savevm once") == HMPLine.read("savevm once")
    assert read_line("savevm once") is read_line("savevm once")


def test_longer_line_than_a_record_has_is_not_kept() -> None:
    line = "savevm " + "x" * MAX_TEXT_CHARS
    assert read_line(line) == HMPLine.read(line)
    assert read_line(line) is not read_line(line)


@pytest.mark.parametrize(
    "line",
    [
        *("savevm t1", "loadvm a-b.c_d", "delvm 7", "savevm " + "x" * 64, "savevm " + "x" * 65, "savevm -x", "savevm", "delvm"),
        *(
            'savevm "a b"',
            "savevm a b",
            " savevm t",
            "savevm t ",
            "savevm  t",
            "info status",
            "savevmx t",
            "savevm t\n",
            "savevm é",
            "",
        ),
    ],
)
def test_tag_is_the_one_that_hmp_reads(line: str) -> None:
    assert tag_of(line) == (getattr(HMPLine.read(line).command, "tag", None) or "")


def test_no_line_has_no_tag() -> None:
    assert tag_of(None) == ""

"""What is shown below a line that was refused."""

import pytest

from repl.lines.scanning import LineError
from repl.output.rejection import rejection
from tests.support.repl.fragments import plain

UNKNOWN = LineError(2, "unknown command 'savevn'; did you mean 'savevm'?", wrong="savevn", right="savevm")
NO_TAG = LineError(6, "loadvm needs a tag")
TAB = "Tab puts the corrected text on the empty line."
UP = "Nothing of what was pasted was run; Up brings it back."


@pytest.mark.parametrize(
    ("line", "error", "is_of_paste", "width", "shown"),
    [
        ("loadvm", NO_TAG, False, 80, ["           ^ loadvm needs a tag"]),
        ("  savevn t", UNKNOWN, False, 80, ["       ^ unknown command 'savevn'; did you mean 'savevm'?", TAB]),
        ("loadvm", NO_TAG, True, 80, ["loadvm", "      ^ loadvm needs a tag", UP]),
        (
            "  savevn t",
            UNKNOWN,
            True,
            120,
            ["  savevn t", "  ^ unknown command 'savevn'; did you mean 'savevm'?", f"{TAB} {UP}"],
        ),
        # The mark stays in its place where the message has no room beside it.
        ("loadvm", NO_TAG, False, 20, ["           ^", "loadvm needs a tag"]),
        # A line that goes on in the next row has no place for a mark.
        ("loadvm", NO_TAG, False, 11, ["loadvm", "needs a tag"]),
        ("a\x1bb", LineError(3, "wrong"), False, 80, ["           ^ wrong"]),
    ],
)
def test_fault_is_shown_at_its_place(line: str, error: LineError, is_of_paste: bool, width: int, shown: list[str]) -> None:
    fragments = rejection(line, error, is_of_paste=is_of_paste, width=width)
    assert plain(fragments).splitlines() == shown


@pytest.mark.parametrize(
    ("position", "shown"),
    [
        (0, ["{", "^ wrong"]),
        (4, ['  "a" 1', "  ^ wrong"]),
        (9, ['  "a" 1', "       ^ wrong"]),
        (11, ["}", " ^ wrong"]),
    ],
)
def test_fault_in_json_of_several_rows_is_shown_in_its_row(position: int, shown: list[str]) -> None:
    fragments = rejection('{\n  "a" 1\n}', LineError(position, "wrong"), is_of_paste=False, width=80)
    assert plain(fragments).splitlines() == shown


def test_line_that_was_typed_in_another_way_is_shown() -> None:
    fragments = rejection("loadvm", NO_TAG, is_of_paste=False, is_typed=False, width=80)
    assert plain(fragments).splitlines() == ["loadvm", "      ^ loadvm needs a tag"]

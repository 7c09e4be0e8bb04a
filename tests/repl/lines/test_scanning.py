"""Where words begin and end, and which names are unknown."""

import pytest

from repl.lines.scanning import LineError, expect_end, expect_known, name_end, skip_blanks, word_end


@pytest.mark.parametrize(
    ("line", "at", "skipped", "end", "end_of_name"),
    [
        ("savevm t", 0, 0, 6, 6),
        (" \t\v a", 0, 4, 5, 5),
        ("a/b c", 0, 0, 3, 1),
        ("a\u00a0b", 0, 0, 3, 3),
        ("a  ", 1, 3, 3, 3),
        ("", 0, 0, 0, 0),
    ],
)
def test_words_are_hmps(line: str, at: int, skipped: int, end: int, end_of_name: int) -> None:
    start = skip_blanks(line, at)
    assert (start, word_end(line, start), name_end(line, start)) == (skipped, end, end_of_name)


def test_rest_of_the_line_is_a_fault_where_it_begins() -> None:
    expect_end("a  ", 1)
    with pytest.raises(LineError, match="extraneous characters at the end of the line; try") as raised:
        expect_end("a  b", 1, "; try c")
    assert raised.value.position == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("savevn", "unknown command 'savevn'; did you mean 'savevm'?"),
        ("SAVEVM", "unknown command 'SAVEVM'; did you mean 'savevm'?"),
        ("plam", "unknown command 'plam'; did you mean 'plan'?"),
        ("zzz", "unknown command 'zzz'"),
    ],
)
def test_unknown_name_comes_with_the_nearest_known(name: str, message: str) -> None:
    with pytest.raises(LineError) as raised:
        expect_known(7, "command", name, ["savevm", "loadvm"], also=["plan"])
    assert (raised.value.position, raised.value.message) == (7, message)


def test_known_name_is_no_fault() -> None:
    expect_known(0, "command", "savevm", ["savevm"])

"""What a command printed, and whether it fits."""

import pytest

from repl.output.printed import Printed, is_longer, text_of


def test_what_is_kept_is_all_that_is_shown() -> None:
    printed = Printed.of([("class:tag", "a"), ("", "b\n")], [("", "foot\n")])
    assert printed.kept == "ab\nfoot\n"
    assert text_of(printed.shown) == "ab\n"
    assert Printed.of([("", "a")]).foot == []


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        *(("", 1), ("a", 1), ("a\n", 1), ("a\nb", 2), ("a\n\n", 2), ("\n\na\n", 3)),
        *(("1234567890", 1), ("12345678901", 2), ("1234567890" * 3 + "\nb\n", 4)),
        *(("\t123", 2), ("\t12", 1), ("六六六六六", 1), ("六六六六六六", 2)),
    ],
)
def test_rows_are_counted_as_the_terminal_wraps(text: str, rows: int) -> None:
    assert not is_longer([("", text)], columns=10, rows=rows)
    assert is_longer([("", text[:1]), ("class:x", text[1:])], columns=10, rows=rows - 1)

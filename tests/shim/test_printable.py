"""A terminal does not obey the text of others."""

import pytest

from shim.printable import harmless, printable


def test_text_is_not_obeyed() -> None:
    assert printable("a\x1b[2J\r\nb'é") == r"a\x1b[2J\r\nb'é"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb\tc\n", "a\nb\tc\n"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("\x9b1m\x07\r", r"\x9b1m\x07\r"),
        ("\u202ea", r"\u202ea"),
        ("日本 é", "日本 é"),
    ],
)
def test_lines_are_kept_and_nothing_else_is_obeyed(text: str, shown: str) -> None:
    assert harmless(text) == shown

"""A terminal does not obey the text of others."""

import pytest

from shim.printable import harmless, natural, printable


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


@pytest.mark.parametrize(
    "names",
    [
        ["2", "10", "vm1", "vm2", "vm10", "vm10a"],
        ["", "a", "a0", "a1", "a1b2", "a1b10", "a2"],
        ["a02", "a2", "a10", "b"],
        ["vm" + "9" * 5000, "vm1" + "0" * 5000],
    ],
)
def test_numbers_in_names_are_sorted_as_numbers(names: list[str]) -> None:
    mixed = list(reversed(names))
    assert sorted(mixed, key=natural) == names

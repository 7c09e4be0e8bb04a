"""Texts take the room that a terminal gives them, and are broken between words."""

import pytest

from audit.forms.text_width import cut, padded, text_width, wrapped


@pytest.mark.parametrize(
    ("text", "width"),
    [
        *[("", 0), ("abc", 3), ("é", 1), ("e\u0301", 1), ("測試", 4), ("\uff57", 2), ("שלום", 4)],
        # A vowel sign of Devanagari, a variation selector and an enclosing mark: their combining class is 0.
        *[("कु", 1), ("a\ufe0f", 1), ("a\u20dd", 1)],
    ],
)
def test_width_on_a_terminal(text: str, width: int) -> None:
    assert text_width(text) == width


def test_padding_counts_columns() -> None:
    assert (padded("測", 4), padded("測", 4, is_right=True), padded("long", 2)) == ("測  ", "  測", "long")


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [
        *[("abcdef", 6, "abcdef"), ("abcdef", 5, "abcd…"), ("abcdef", None, "abcdef"), ("ab cdef", 4, "ab…")],
        *[("測試虛擬", 6, "測試…"), ("e\u0301e\u0301e\u0301", 2, "e\u0301…")],
    ],
)
def test_cut_at_the_end_between_characters(text: str, room: int | None, shown: str) -> None:
    assert cut(text, room) == shown


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 13, ["one two three"]),
        ("one two three", None, ["one two three"]),
        ("one two three", 9, ["one two", "  three"]),
        ("  one two three", 9, ["  one two", "    three"]),
        ("one   two three", 10, ["one two", "  three"]),
        # A word has its own line before it is broken.
        ("a snapshot-save", 14, ["a snapshot-", "  save"]),
        ("an old snapshot-save", 15, ["an old", "  snapshot-save"]),
        ("see a savevm", 10, ["see a", "  savevm"]),
        ("/opt/suite/bin/tool", 12, ["/opt/suite/", "  bin/tool"]),
        ("x" * 10, 6, ["xxxxxx", "  xxxx"]),
        ("測試虛擬機器", 7, ["測試虛", "  擬機", "  器"]),
        ("e\u0301" * 6, 4, ["e\u0301" * 4, "  e\u0301e\u0301"]),
        ("", 5, [""]),
        ("測試", 1, ["測", "  試"]),
    ],
)
def test_lines_are_broken_between_words(text: str, width: int | None, lines: list[str]) -> None:
    assert wrapped(text, width) == lines


def test_further_lines_stand_as_far_in_as_they_are_told_to() -> None:
    assert wrapped("  one two", 6, hanging=0) == ["  one", "  two"]

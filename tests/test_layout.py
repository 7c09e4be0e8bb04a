"""Text fits its width, nothing of it is lost, and a terminal does not obey it."""

import random

import pytest
from prompt_toolkit.utils import get_cwidth

from repl.layout import COMMAND, cut, harmless, joined, printable, words, wrapped
from tests.test_snapshot_table import plain


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
    ("text", "room", "shown"), [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 4, "日…"), ("日本", 4, "日本")]
)
def test_cut_text_says_so(text: str, room: int, shown: str) -> None:
    assert cut(text, room) == shown


def test_command_is_never_broken() -> None:
    lines = wrapped([(COMMAND, "x" * 50), *words("and more")], width=20)
    assert [plain(line) for line in lines] == ["x" * 50, "and more"]


@pytest.mark.parametrize("seed", range(25))
def test_wrapping_loses_nothing(seed: int) -> None:
    rng = random.Random(seed)
    text = " ".join("".join(rng.choices("ab日😀", k=rng.randint(1, 50))) for _ in range(30))
    for width in (4, *(40, 60, 80, 120)):
        lines = wrapped(words(text), width=width, indent=2, hanging=4)
        assert plain(joined(lines)).replace("\n", "").replace(" ", "") == text.replace(" ", "")
        assert max(get_cwidth(plain(line)) for line in lines) <= width

"""Text fits its width, and nothing of it is lost."""

import random

import pytest
from prompt_toolkit.utils import get_cwidth

from repl.output.layout import COMMAND, cut, joined, side_by_side, words, wrapped
from tests.support.repl.fragments import plain


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 4, "日…"), ("日本", 4, "日本"), ("日", 1, "日…")],
)
def test_cut_text_says_so(text: str, room: int, shown: str) -> None:
    assert cut(text, room) == shown


def test_command_is_never_broken() -> None:
    lines = wrapped([(COMMAND, "x" * 50), *words("and more")], width=20)
    assert [plain(line) for line in lines] == ["x" * 50, "and more"]


def test_character_that_is_wider_than_the_line_stands_alone() -> None:
    assert [plain(line) for line in wrapped(words("日a"), width=1)] == ["日", "a"]


@pytest.mark.parametrize("seed", range(25))
def test_wrapping_loses_nothing(seed: int) -> None:
    rng = random.Random(seed)
    text = " ".join("".join(rng.choices("ab日😀", k=rng.randint(1, 50))) for _ in range(30))
    for width in (4, *(40, 60, 80, 120)):
        lines = wrapped(words(text), width=width, indent=2, hanging=4)
        assert plain(joined(lines)).replace("\n", "").replace(" ", "") == text.replace(" ", "")
        assert max(get_cwidth(plain(line)) for line in lines) <= width


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (80, "savevm t  12.3 s  about 40 %, about 20 s left  (Ctrl-C: do not wait)"),
        (68, "savevm t  12.3 s  about 40 %, about 20 s left  (Ctrl-C: do not wait)"),
        (67, "savevm t  12.3 s  about 40 %, about 20 s left\n(Ctrl-C: do not wait)"),
        (40, "savevm t  12.3 s\nabout 40 %, about 20 s left\n(Ctrl-C: do not wait)"),
        (10, "savevm t\n12.3 s\nabout 40 …\n(Ctrl-C: …"),
    ],
)
def test_pieces_stand_side_by_side_as_far_as_they_fit(width: int, shown: str) -> None:
    pieces = ["savevm t", "12.3 s", "", "about 40 %, about 20 s left", "(Ctrl-C: do not wait)"]
    assert plain(side_by_side([("", piece) for piece in pieces], width=width)) == shown


def test_nothing_side_by_side_is_nothing() -> None:
    assert side_by_side([("", "")], width=10) == []
    assert side_by_side([("", ""), ("class:a", "b"), ("", "")], width=1) == [("class:a", "b")]

"""Settings that set a limit: how none is written, in a file and on a command line."""

import argparse
from typing import Any

import pytest

from host.settings.bad_value import BadValue
from host.settings.limit_types import LIMIT, PREFIX, TAGS
from host.settings.setting_types import SettingType


def word(text: str) -> Any:
    assert LIMIT.from_word is not None
    return LIMIT.from_word(text)


@pytest.mark.parametrize("number", [0, 1, 999_999_999])
def test_limit_is_a_number_or_0(number: int) -> None:
    assert LIMIT.from_file(number) == word(str(number)) == number


@pytest.mark.parametrize("value", [-1, 1.0, 0.0, True, False, "0", None, [0], 1_000_000_000])
def test_limit_in_a_file_is_nothing_else(value: Any) -> None:
    with pytest.raises(BadValue):
        LIMIT.from_file(value)


@pytest.mark.parametrize("text", ["-1", "00", "0.0", "", "none", "1000000000", "\u0660"])
def test_limit_on_the_command_line_is_nothing_else(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        word(text)


def test_text_about_a_limit_says_that_there_may_be_none() -> None:
    number = "a whole number from 0 to 999999999; 0 sets no limit"
    with pytest.raises(BadValue, match=f"write {number}"):
        LIMIT.from_file(-1)
    with pytest.raises(argparse.ArgumentTypeError, match=f"'-1' is not {number}"):
        word("-1")


@pytest.mark.parametrize("kind", [PREFIX, TAGS])
def test_empty_word_is_refused(kind: SettingType) -> None:
    assert kind.from_word is not None
    assert kind.from_word("auto-") == "auto-"
    with pytest.raises(argparse.ArgumentTypeError, match="it is empty; write something, or drop the option"):
        kind.from_word("")


def test_prefix_may_be_empty() -> None:
    assert [PREFIX.from_file(text) for text in ("", "auto-")] == ["", "auto-"]
    for value in (0, None, ["auto-"], "a\0"):
        with pytest.raises(BadValue):
            PREFIX.from_file(value)


def test_tags_are_one_or_several() -> None:
    assert TAGS.from_file("golden*") == TAGS.finish(["golden*"]) == frozenset({"golden*"})
    assert TAGS.from_file(["a", "b"]) == TAGS.finish(["a", "b"]) == frozenset({"a", "b"})
    with pytest.raises(BadValue):
        TAGS.from_file([1])

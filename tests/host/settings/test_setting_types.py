"""A type of a setting makes the same value of a word of the command line as of a value of a file."""

import argparse
from typing import Any

import pytest

from host.net.addresses import StdioAddress, UnixAddress, parse_listen_address, parse_taken_path
from host.settings import setting_types as types
from host.settings.bad_value import BadValue
from host.settings.listener_settings import LISTENER_SETTINGS
from host.settings.listener_types import listener_type, listeners_type
from host.settings.setting_types import MOST_NUMBER, SettingType
from shim.graph.policy import Overwrite
from shim.records.confidential import Confidential
from tests.support.shim.graphs import patterns

MIB = 1024 * 1024
LISTENERS = listeners_type(parse_listen_address, LISTENER_SETTINGS)
TAKEN_PATH = listener_type(parse_taken_path, LISTENER_SETTINGS)


def value_of(kind: SettingType, words: list[str]) -> Any:
    """Return what an option makes of the words that argparse stores."""
    assert kind.from_word is not None
    stored = [kind.from_word(word) for word in words]
    return kind.finish(stored if kind.is_repeatable else stored[-1])


@pytest.mark.parametrize(
    ("kind", "words", "in_file", "value"),
    [
        (types.TEXT, ["a"], "a", "a"),
        (types.COUNT, ["3"], 3, 3),
        (types.COUNT, [str(MOST_NUMBER)], MOST_NUMBER, MOST_NUMBER),
        (types.SECONDS, ["1.5"], 1.5, 1.5),
        (types.SECONDS, ["0"], 0, 0.0),
        (types.WHOLE_SECONDS, ["90"], 90, 90),
        (types.HOURS, ["2"], 2, 7200),
        (types.MIB, ["2"], 2, 2 * MIB),
        (types.BUFFER_MIB, ["2"], 2, 2 * MIB),
        (types.ALLOWED, ["info block", "help"], ["info block", "help"], frozenset({"info block", "help"})),
        (types.PATTERNS, ["node:a", "b"], ["node:a", "b"], patterns("node:a", "b")),
        (types.CONFIDENTIAL, ["tags,files", "tags"], ["tags", "files"], frozenset({Confidential.TAGS, Confidential.FILES})),
        (types.CONFIDENTIAL, ["all"], "all", frozenset(Confidential)),
        (types.DESTINATION, ["syslog:"], "syslog:", "syslog:"),
        (types.ADDRESS, ["unix:/q"], "unix:/q", UnixAddress("/q")),
        (LISTENERS, ["unix:/l", "stdio"], ["unix:/l", "stdio"], (UnixAddress("/l"), StdioAddress())),
        (TAKEN_PATH, ["hold:/q"], "hold:/q", UnixAddress("/q", holds=True)),
        (types.one_of(Overwrite), ["replace"], "replace", Overwrite.REPLACE),
    ],
)
def test_word_and_value_of_a_file_are_the_same(kind: SettingType, words: list[str], in_file: Any, value: Any) -> None:
    assert value_of(kind, words) == kind.from_file(in_file) == value


@pytest.mark.parametrize(("kind", "value"), [(types.SWITCH, True), (types.SWITCH_OFF, False)])
def test_switch_takes_no_word(kind: SettingType, value: bool) -> None:
    assert kind.from_word is None
    assert kind.finish(True) is kind.from_file(value) is value


@pytest.mark.parametrize(
    ("kind", "word", "in_file"),
    [
        (types.COUNT, "0", 0),
        (types.COUNT, str(MOST_NUMBER + 1), MOST_NUMBER + 1),
        (types.COUNT, "9" * 5000, True),
        (types.SECONDS, "-1", -1),
        (types.SECONDS, "nan", float("nan")),
        (types.SECONDS, "1" + "0" * 400, 10**400),
        (types.PATTERNS, "kind:x", ["kind:x"]),
        (types.CONFIDENTIAL, "x", "x"),
        (types.DESTINATION, "syslog:x", "syslog:x"),
        (types.ADDRESS, "stdio", "stdio"),
        (LISTENERS, "accept:unix:/l", ["accept:unix:/l"]),
        (TAKEN_PATH, "/" + "a" * 100, "/" + "a" * 100),
        (types.one_of(Overwrite), "maybe", "maybe"),
    ],
)
def test_what_is_wrong_in_one_is_wrong_in_the_other(kind: SettingType, word: str, in_file: Any) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        value_of(kind, [word])
    with pytest.raises(BadValue):
        kind.from_file(in_file)


def test_buffer_of_nothing_is_refused_after_the_words_are_read() -> None:
    with pytest.raises(ValueError, match="takes a whole number of MiB, 1 or more"):
        value_of(types.BUFFER_MIB, ["0"])

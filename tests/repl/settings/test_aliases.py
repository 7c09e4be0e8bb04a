"""Aliases: what they may be called, what they may stand for, and how a line is written out."""

from typing import Any

import pytest

from host.settings.bad_value import BadValue
from repl.lines.lines import OWN_COMMANDS, SYNONYMS
from repl.settings.aliases import TAKEN, expand, read_alias

OWN_NAMES = {name for command in OWN_COMMANDS for name in command.names} | set(SYNONYMS)
ALIASES = {"s": "savevm", "st": "info status", "say": "# "}


@pytest.mark.parametrize(
    ("line", "written_out"),
    [
        ("s t1", "savevm t1"),
        ("s", "savevm"),
        ("  s\tt1 ", "  savevm\tt1 "),
        ("st", "info status"),
        ("s/x", "s/x"),
        ("sx", "sx"),
        ("info s", "info s"),
        ("", ""),
        ("S t1", "S t1"),
    ],
)
def test_first_word_is_written_out(line: str, written_out: str) -> None:
    assert expand(line, ALIASES) == written_out


@pytest.mark.parametrize("name", ["s", "q", "quit", "stop", "l1", "é", "save-vm"])
def test_names(name: str) -> None:
    """Nor does an alias for another of QEMU's commands go unnoticed: what it becomes is shown."""
    assert read_alias(frozenset(), name, " savevm a ") == "savevm a"


@pytest.mark.parametrize(
    "name", ["savevm", "loadvm", "delvm", "info", r"\q", *(name for one in OWN_COMMANDS for name in one.names)]
)
def test_names_that_mean_something_are_not_to_be_had(name: str) -> None:
    with pytest.raises(BadValue, match="is a command that an alias cannot replace"):
        read_alias(frozenset(), name, "stop")


def test_all_commands_of_the_prompt_are_among_these() -> None:
    assert {"savevm", "loadvm", "delvm", "info"} | OWN_NAMES == TAKEN


@pytest.mark.parametrize("name", ["", "a b", "#x", "{x", '"x', "/x", "a/b", "a\x1b"])
def test_names_that_are_no_word(name: str) -> None:
    with pytest.raises(BadValue, match="the name of an alias is one word"):
        read_alias(frozenset(), name, "stop")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (1, "write a string"),
        ("", "write a string"),
        ("  ", "write what it stands for in one line"),
        ("stop\ncont", "write what it stands for in one line"),
        ("t x", "it begins with t, which is an alias too"),
        ("s x", "it begins with s, which is an alias too"),
    ],
)
def test_what_an_alias_cannot_stand_for(value: Any, reason: str) -> None:
    with pytest.raises(BadValue, match=reason):
        read_alias(frozenset({"s", "t"}), "s", value)

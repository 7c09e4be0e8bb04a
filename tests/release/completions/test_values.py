"""What can stand for a value, and what is said of an option."""

import argparse
from typing import Any

import pytest

from release.completions.values import (
    Value,
    commands_of,
    described_options,
    function_of,
    is_repeatable,
    kind_of,
    positional_of,
    summary_of,
)
from release.parsers import programs


def option(**how: Any) -> argparse.Action:
    return argparse.ArgumentParser().add_argument("--option", **how)


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ({"action": "store_true"}, Value.NONE),
        ({}, Value.WORD),
        ({"metavar": "PATTERN"}, Value.WORD),
        ({"metavar": "FILE"}, Value.FILE),
        ({"metavar": "DIR"}, Value.FOLDER),
        ({"metavar": "ADDRESS"}, Value.ADDRESS),
        ({"metavar": "FILE", "choices": ["a", "b"]}, Value.CHOICE),
    ],
)
def test_kinds(how: dict[str, Any], kind: Value) -> None:
    assert kind_of(option(**how)) is kind


@pytest.mark.parametrize(
    ("how", "repeats"), [({}, False), ({"action": "append"}, True), ({"default": []}, True), ({"action": "store_true"}, False)]
)
def test_repeatable(how: dict[str, Any], repeats: bool) -> None:
    assert is_repeatable(option(**how)) is repeats


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("keep lines", "keep lines"),
        ("keep lines; more", "keep lines"),
        ("keep lines (default: none)", "keep lines"),
        ("keep lines: all", "keep lines"),
        ("a: keep lines; b: keep none", "option"),
        ("keep " + "x" * 40 + " and lines and more", "keep " + "x" * 40 + " and lines and ..."),
    ],
)
def test_few_words(text: str, words: str) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--option", choices=["a", "b"], help=text)
    assert [said for _, said in described_options(parser)] == [words]


def test_program_has_itself_and_its_subcommands() -> None:
    proxy, repl, audit = programs()
    assert [name for name, _ in commands_of(proxy)][:2] == ["", "plan"]
    assert [name for name, _ in commands_of(repl)] == [""]
    assert function_of(audit) == "_hmp_audit"
    assert positional_of(repl.parser) is Value.ADDRESS
    assert positional_of(audit.parser) is Value.NONE
    assert positional_of(audit.commands["scan"]) is Value.FOLDER
    assert summary_of(audit.commands["scan"]) == "Find where sources and scripts use HMP"

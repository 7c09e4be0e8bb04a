"""What the value of an option, or an argument, can be."""

import argparse
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import Final

from release.parsers import Program, choices_of, help_of, options_of, positionals_of, value_of

__all__ = [
    *("Value", "commands_of", "described_options", "function_of", "is_repeatable", "kind_of", "positional_of", "summary_of"),
]


class Value(Enum):
    """The kind of a value. NONE: the option takes none. WORD: something that no shell can complete.

    ADDRESS: a path, perhaps after `unix:`.
    """

    NONE = auto()
    WORD = auto()
    CHOICE = auto()
    FILE = auto()
    FOLDER = auto()
    ADDRESS = auto()


# Metavar -> kind of value.
_KINDS: Final[Mapping[str, Value]] = {
    "FILE": Value.FILE,
    "KEYFILE": Value.FILE,
    "PATH": Value.ADDRESS,
    "ADDRESS": Value.ADDRESS,
    "DIR": Value.FOLDER,
}
_LONGEST_TEXT: Final = 60


def kind_of(action: argparse.Action) -> Value:
    if choices_of(action):
        return Value.CHOICE
    shown = value_of(action)
    return Value.NONE if shown is None else _KINDS.get(shown, Value.WORD)


def is_repeatable(action: argparse.Action) -> bool:
    """Return whether an option can be given several times. Those of the policy are recognized by their default []."""
    return action.default == [] or isinstance(action, argparse._AppendAction)


def commands_of(program: Program) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield the program itself, under the name "", and then its subcommands."""
    yield "", program.parser
    yield from program.commands.items()


def positional_of(parser: argparse.ArgumentParser) -> Value:
    """Return the kind of the positional arguments."""
    kinds = [kind_of(action) for action in positionals_of(parser) if not action.choices]
    return kinds[0] if kinds else Value.NONE


def _first_words(text: str) -> str:
    """Shorten a help text to what fits next to a word."""
    text = text.partition(";")[0].partition(" (")[0].partition(": ")[0].partition(". ")[0]
    return text if len(text) <= _LONGEST_TEXT else text[: text.rindex(" ", 0, _LONGEST_TEXT)] + " ..."


def function_of(program: Program) -> str:
    """Return the name of the shell function."""
    return "_" + program.name.replace("-", "_")


def summary_of(parser: argparse.ArgumentParser) -> str:
    """Return what a subcommand does, in a few words."""
    return _first_words(" ".join((parser.description or "").split()).rstrip("."))


def described_options(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.Action, str]]:
    """Yield the options, each with a few words about it."""
    for action in options_of(parser):
        words = _first_words(help_of(parser, action))
        # Some help texts only say what each choice means.
        yield action, action.dest.replace("_", " ") if words in choices_of(action) else words

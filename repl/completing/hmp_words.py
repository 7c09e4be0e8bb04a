"""Which arguments a command takes according to HMP's help: options, and the other arguments in order."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from repl.completion_data import CommandHelp

__all__ = ["ArgumentForms", "read_forms"]

# `[-f]`, `[-z|-l]`, `[-f format]`, `[-a|vcpu]`.
_OPTIONS = re.compile(r"\[(-\w[\w|-]*)( [^\[\]]+)?\]")


@dataclass(frozen=True, slots=True)
class ArgumentForms:
    """options: all of them. with_value: the options that take the next word. positions: the other arguments, as in help."""

    options: tuple[str, ...]
    with_value: frozenset[str]
    positions: tuple[str, ...]

    def position(self, before: Sequence[str]) -> int | None:
        """Return the index of the position that comes after these words; None if an option's value comes."""
        return None if before and before[-1] in self.with_value else len(self.positional(before))

    def positional(self, before: Sequence[str]) -> list[str]:
        """Return those of the words that are neither options nor their values."""
        own = [word for option, word in pairwise(["", *before]) if option not in self.with_value]
        return [word for word in own if word not in self.options]


def read_forms(command: CommandHelp) -> ArgumentForms:
    flags: list[str] = []
    with_value: set[str] = set()
    for names, value in _OPTIONS.findall(command.arguments):
        found = [name for name in names.split("|") if name.startswith("-")]
        flags += found
        with_value |= set(found) if value else set()
    words = [word.strip("[]") for word in _OPTIONS.sub(" ", command.arguments).split()]
    # Some arguments begin with the command's name (nbd_server_add).
    positions = words[1:] if words[:1] == [command.name] else words
    return ArgumentForms(tuple(flags), frozenset(with_value), tuple(positions))

"""What a person can set for the prompt, with the defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

__all__ = ["Action", "Editing", "Enter", "Insert", "KeyBinding", "Perform", "Question", "Settings"]


class Question(StrEnum):
    """What the prompt asks about, by what would be lost: a replaced snapshot, the VM's present, a snapshot, the VM."""

    REPLACE = "replace"
    LOAD = "load"
    DELETE = "delete"
    QUIT = "quit"


class Editing(StrEnum):
    """Whose keys the line editor has."""

    EMACS = "emacs"
    VI = "vi"


@dataclass(frozen=True, slots=True)
class Enter:
    """A key enters this line; the text at the prompt comes back afterwards."""

    line: str


@dataclass(frozen=True, slots=True)
class Insert:
    """A key types this text."""

    text: str


@dataclass(frozen=True, slots=True)
class Perform:
    """A key performs one of readline's functions, or one of ours."""

    function: str


Action: TypeAlias = Enter | Insert | Perform


@dataclass(frozen=True, slots=True)
class KeyBinding:
    """What a key does. keys: to be pressed one after the other, in prompt_toolkit's spelling."""

    keys: tuple[str, ...]
    action: Action


@dataclass(frozen=True, slots=True)
class Settings:
    """One person's settings.

    pager: a command; "" for none, None to let the environment decide. asks: before what the prompt asks; everything else is
    done without a question. colors: prompt_toolkit styles, by the names in COLORED (repl/prompt/editor/style.py). aliases:
    first words, and what they stand for. mistakes: those of the file, in the order of its lines.
    """

    editing: Editing = Editing.EMACS
    pager: str | None = None
    asks: frozenset[Question] = frozenset(Question)
    keys: tuple[KeyBinding, ...] = ()
    colors: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    mistakes: tuple[str, ...] = ()

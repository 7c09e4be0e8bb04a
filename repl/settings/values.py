"""What a person can set for the prompt, with what holds where nothing is set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

__all__ = ["Action", "Editing", "Enter", "Insert", "KeyBinding", "Perform", "Question", "Settings"]


class Question(StrEnum):
    """What the prompt asks before, by what is lost: a replaced snapshot, the VM's present, a snapshot, the VM."""

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
    """A key enters this line; what stands at the prompt comes back after it."""

    line: str


@dataclass(frozen=True, slots=True)
class Insert:
    """A key types this text."""

    text: str


@dataclass(frozen=True, slots=True)
class Perform:
    """A key does what one of readline's functions does, or one of ours."""

    function: str


Action: TypeAlias = Enter | Insert | Perform


@dataclass(frozen=True, slots=True)
class KeyBinding:
    """keys: one after the other, in prompt_toolkit's spelling."""

    keys: tuple[str, ...]
    action: Action


@dataclass(frozen=True, slots=True)
class Settings:
    """One person's.

    pager: a command; "" for none, None where the environment says it. asks: before what; the rest is done without a question.
    colors: of what is shown, by the names in COLORED (repl/prompt/editor/style.py), as styles of prompt_toolkit's. aliases:
    what a first word stands for. mistakes: of the file, in the order of its lines.
    """

    editing: Editing = Editing.EMACS
    pager: str | None = None
    asks: frozenset[Question] = frozenset(Question)
    keys: tuple[KeyBinding, ...] = ()
    colors: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    mistakes: tuple[str, ...] = ()

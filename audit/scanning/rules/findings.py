"""What a scan finds, as values."""

from dataclasses import dataclass, field
from typing import Final

from audit.scanning.rules.hmp_texts import COMPUTED
from shim.hmp.replacements import Replacement, replacement

__all__ = ["LOADVM_OPTION", "PROMPT", "FileFindings", "Finding", "Hit", "Totals", "advice", "what_replaces"]

# Used in place of a command's name.
LOADVM_OPTION: Final = "-loadvm"
PROMPT: Final = "HMP prompt"

_INSTEAD_OF_THE_OPTION: Final = Replacement(("snapshot-load",), "start QEMU with -S; a job; then cont")


@dataclass(frozen=True, slots=True)
class Hit:
    """What a rule found. offset: in the text. channel: what carries the command.

    command: its full name, COMPUTED, LOADVM_OPTION or PROMPT.
    """

    offset: int
    channel: str
    command: str
    is_sure: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """A place in a file. line and column: from 1, the column in characters. source: the line, without blanks around it."""

    line: int
    column: int
    channel: str
    command: str
    is_sure: bool
    source: str

    @property
    def what(self) -> str:
        """Return what was found: `savevm by human-monitor-command`."""
        if self.command == LOADVM_OPTION:
            return LOADVM_OPTION
        if self.command == PROMPT:
            return f"an {PROMPT} by {self.channel}"
        return f"{self.command or 'a computed command'} by {self.channel}"


@dataclass(frozen=True, slots=True)
class FileFindings:
    """What was found in one file. path: as it is reported. accepted: how many findings a mark accepts."""

    path: str
    findings: tuple[Finding, ...]
    accepted: int = 0


@dataclass(slots=True)
class Totals:
    """What a scan has read, as counts. other: files in no known language. accepted: findings that a mark accepts.

    known: findings that a baseline has. too_big: the paths of files that are too big. unread: for each file or folder that
    cannot be read, which and why.
    """

    files: int = 0
    other: int = 0
    binary: int = 0
    links: int = 0
    excluded: int = 0
    accepted: int = 0
    known: int = 0
    too_big: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def what_replaces(command: str) -> Replacement | None:
    """Return what replaces a finding's command; None if that is not known."""
    if command == LOADVM_OPTION:
        return _INSTEAD_OF_THE_OPTION
    name, _, topic = command.partition(" ")
    return replacement(name, topic)


def advice(command: str) -> str:
    """Return what to use instead of a finding's command."""
    if command == COMPUTED:
        return "see what the command line is made of"
    if command == PROMPT:
        return "see what is typed there: qmp-shell without -H takes QMP's commands"
    found = what_replaces(command)
    return "not known" if found is None else str(found)

"""What other programs take from a report or a scan: single findings, each with a rule, a severity and a text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from audit.counting.readiness import COVERED_COMMANDS
from audit.reporting.keys import Key, failure_key, fingerprint, overwriting_key, silent_key, use_key
from audit.reporting.report import CommandUse, Report, ToolUse
from audit.reporting.wording import listed, times

__all__ = ["RULES", "Level", "Notice", "Place", "Rule", "of_report"]


class Level(StrEnum):
    """How serious a finding is, in SARIF's words."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is wrong with all findings of a kind, and what to do about it."""

    title: str
    help: str


RULES: Final[Mapping[str, Rule]] = {
    "hmp-use": Rule("A program uses HMP", "HMP is made for people, and changes without notice. Use the QMP command."),
    "hmp-source": Rule("A source uses HMP", "HMP is made for people, and changes without notice. Use the QMP command."),
    "failed-command": Rule("A command failed", "See the text of the reply."),
    "silent-failure": Rule(
        "A program went on after a failure",
        "HMP reports a failure only in the text of a reply. Check the text, or use QMP, which replies with an error.",
    ),
    "overwritten-snapshot": Rule("A snapshot was saved over", "savevm replaces a snapshot of the same tag. Use another tag."),
}


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file. line, column: from 1. source: the text of the line."""

    path: str
    line: int
    column: int
    source: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One finding. rule: one of RULES. key: the same for the same thing in the next report. subject: the program or the file.

    owner: where the program runs and for whom, "" where it is not known. hosts: that it was seen on. paths: some of those of
    its script or program. remedy: what to do; "" for nothing to say. first, last: as in records.
    """

    rule: str
    key: Key
    level: Level
    text: str
    subject: str
    remedy: str = ""
    owner: str = ""
    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    place: Place | None = None
    count: int = 1
    first: str = ""
    last: str = ""

    @property
    def fingerprint(self) -> str:
        """Return what the same finding has in the next report too, whatever hosts it is seen on then."""
        return fingerprint((*self.key, self.owner))


def of_report(report: Report) -> Iterator[Notice]:
    """Yield the findings of a report: use of HMP first, in the report's order, then what went wrong.

    HMP that is quiet is no finding, so whoever keeps findings takes it for mended, until it is used again.
    """
    hosts = {use.tool: use.hosts for use in report.tools}
    paths = {use.tool: use.paths for use in report.tools}
    for use in report.tools:
        yield from (_of_use(use, command) for command in use.commands if command.is_hmp and not command.is_quiet)
    for silent in report.silent_failures:
        text = f"{silent.tool.label} went on after a failed {silent.command} ({times(silent.count)})"
        key = silent_key(silent.tool.name, silent.command)
        yield Notice(
            *("silent-failure", key, Level.ERROR, text, silent.tool.name),
            owner=silent.tool.owner,
            hosts=hosts.get(silent.tool, ()),
            paths=paths.get(silent.tool, ()),
            count=silent.count,
            last=silent.last,
        )
    for failure in report.failures:
        name = failure.tool.name
        text = f"{listed(failure.commands)} of {failure.tool.label} failed: {failure.text} ({times(failure.count)})"
        yield Notice(
            *("failed-command", failure_key(name, failure.text), Level.WARNING, text, name),
            owner=failure.tool.owner,
            hosts=hosts.get(failure.tool, ()),
            paths=paths.get(failure.tool, ()),
            count=failure.count,
            first=failure.first,
            last=failure.last,
        )
    for one in report.overwritings:
        text = f"{one.tool.label} saved over a snapshot of {one.vm.name} ({times(one.count)})"
        key = overwriting_key(one.tool.name, one.vm.name)
        yield Notice(
            *("overwritten-snapshot", key, Level.WARNING, text, one.tool.name),
            owner=one.tool.owner,
            hosts=hosts.get(one.tool, ()),
            paths=paths.get(one.tool, ()),
            count=one.count,
            first=one.first,
            last=one.last,
        )


def _of_use(use: ToolUse, command: CommandUse) -> Notice:
    is_covered = command.name in COVERED_COMMANDS
    how = ", which the shim does" if is_covered else ""
    return Notice(
        *("hmp-use", use_key(use.tool.name, command.name), Level.WARNING if is_covered else Level.ERROR),
        text=f"{use.tool.label} used HMP's {command.name} ({times(command.count)}){how}",
        subject=use.tool.name,
        remedy="" if command.replacement is None else f"Use {command.replacement}" if command.replacement.commands else "",
        owner=use.tool.owner,
        hosts=use.hosts,
        paths=use.paths,
        count=command.count,
        first=command.first,
        last=command.last,
    )

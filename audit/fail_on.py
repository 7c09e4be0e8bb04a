"""The conditions under which a report makes a CI job fail: `--fail-on`."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final, TypeAlias

from audit.counting.readiness import COVERED_COMMANDS
from audit.reporting.keys import Key, failure_key, overwriting_key, silent_key, switch_key, use_key
from audit.reporting.report import CommandUse, Fate, Outlook, Prospect, Report, Tool, ToolUse
from audit.reporting.switch import Agreement
from audit.reporting.wording import counted, listed, times

__all__ = ["CONDITIONS", "OF_HMP", "OF_TARGET", "Violation", "implied", "violations"]

# HMP commands that do not count, named as for mode "enforce": "info block", or "info" for all its topics.
_Allowed: TypeAlias = Set[str]
_IMPLIED: Final = "incomplete"
_NAMED_PATHS: Final = 3
# The conditions that --target answers, and those that --allow is for.
OF_TARGET: Final = frozenset({"gone", "deprecated"})
OF_HMP: Final = OF_TARGET | {"hmp", "blocked"}


# What was found: the key by which another report has the same, and a sentence.
_Found: TypeAlias = Iterator[tuple[Key, str]]


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that violates a condition. text: a sentence. key: by which a baseline knows it."""

    condition: str
    key: Key
    text: str

    def __str__(self) -> str:
        return self.text


def implied(conditions: Set[str]) -> list[str]:
    """Return conditions with what they imply, in the order of CONDITIONS.

    Any condition implies `incomplete`: what is not on record cannot be checked.
    """
    meant = {*conditions, _IMPLIED} if conditions else frozenset()
    return [name for name in CONDITIONS if name in meant]


def violations(report: Report, conditions: Set[str], allow: _Allowed, accepted: Container[Key] = ()) -> list[Violation]:
    """Return what in the report violates the conditions. accepted: the keys in a baseline."""
    found = ((name, key, text) for name in implied(conditions) for key, text in CONDITIONS[name][1](report, allow))
    return [Violation(name, key, text) for name, key, text in found if key not in accepted]


def _hmp(report: Report, allow: _Allowed) -> _Found:
    for use, command in _hmp_uses(report, allow):
        text = f"{use.tool.label} used HMP's {command.name} ({times(command.count)}){_from(use.paths)}"
        yield use_key(use.tool.name, command.name), text


def _blocked(report: Report, allow: _Allowed) -> _Found:
    for use, command in _hmp_uses(report, allow):
        if command.name not in COVERED_COMMANDS:
            text = f"{use.tool.label} used HMP's {command.name}, which is not done by the shim ({times(command.count)})"
            yield use_key(use.tool.name, command.name), text + _from(use.paths)


def _gone(report: Report, allow: _Allowed) -> _Found:
    paths = _paths(report)
    for outlook, one in _prospects(report, allow, Fate.GONE):
        text = f"{one.tool.label} used HMP's {one.command}, which {outlook.target} does not have ({times(one.count)})"
        yield use_key(one.tool.name, one.command), text + _from(paths[one.tool])


def _deprecated(report: Report, allow: _Allowed) -> _Found:
    paths = _paths(report)
    for outlook, one in _prospects(report, allow, Fate.DEPRECATED):
        text = f"{one.tool.label} used HMP's {one.command}, which is deprecated in {outlook.target} ({times(one.count)})"
        yield use_key(one.tool.name, one.command), text + _from(paths[one.tool])


def _differs(report: Report, _: _Allowed) -> _Found:
    for one in () if report.switch is None else report.switch.contrasts:
        if one.agreement is Agreement.DIFFERS:
            yield switch_key(one.why), f"mode rewrite would answer otherwise: {one.why} ({times(one.count)})"
        elif one.agreement is Agreement.UNKNOWN:
            yield switch_key(one.why), f"what mode rewrite would answer is not known: {one.why} ({times(one.count)})"


def _error(report: Report, _: _Allowed) -> _Found:
    paths = _paths(report)
    for failure in report.failures:
        text = f"{', '.join(failure.commands)} of {failure.tool.label} failed: {failure.text} ({times(failure.count)})"
        yield failure_key(failure.tool.name, failure.text), text + _from(paths[failure.tool])


def _silent(report: Report, _: _Allowed) -> _Found:
    paths = _paths(report)
    for silent in report.silent_failures:
        text = f"{silent.tool.label} went on after a failed {silent.command} ({times(silent.count)})"
        yield silent_key(silent.tool.name, silent.command), text + _from(paths[silent.tool])


def _overwritten(report: Report, _: _Allowed) -> _Found:
    paths = _paths(report)
    for one in report.overwritings:
        text = f"{one.tool.label} saved over a snapshot of {one.vm.name} ({times(one.count)})"
        yield overwriting_key(one.tool.name, one.vm.name), text + _from(paths[one.tool])


def _incomplete(report: Report, _: _Allowed) -> _Found:
    log = report.log
    counts = ((log.damaged, "damaged lines"), (log.lost, "records that could not be written"))
    further = ((log.unfinished, "commands without an outcome on record"), (len(log.unreadable), "logs that cannot be read"))
    for count, what in (*counts, *further):
        if count:
            yield ("incomplete", what), f"the logs are not complete: {what}: {count}"


def _empty(report: Report, _: _Allowed) -> _Found:
    if not report.log.records:
        yield ("empty",), "there is no record: was the audit log switched on, and is it this file?"
    elif report.quiet is not None and report.log.last < report.quiet.since:
        days = counted(report.quiet.days, "day")
        yield ("empty",), f"there is no record of the last {days}: is the log still written, and this file?"


def _from(paths: Sequence[str]) -> str:
    return f", from {listed(paths, most=_NAMED_PATHS)}" if paths else ""


def _paths(report: Report) -> Mapping[Tool, Sequence[str]]:
    """Return where each tool is; nowhere for one that is not among the report's tools."""
    return defaultdict(tuple, {use.tool: use.paths for use in report.tools})


def _hmp_uses(report: Report, allow: _Allowed) -> Iterator[tuple[ToolUse, CommandUse]]:
    for use in report.tools:
        for command in use.commands:
            if command.is_hmp and not command.is_quiet and not _is_allowed(command.name, allow):
                yield use, command


def _prospects(report: Report, allow: _Allowed, fate: Fate) -> Iterator[tuple[Outlook, Prospect]]:
    if report.outlook is not None:
        alarming = {(use.tool, command.name) for use, command in _hmp_uses(report, allow)}
        for one in report.outlook.prospects:
            if one.fate is fate and (one.tool, one.command) in alarming:
                yield report.outlook, one


def _is_allowed(name: str, allow: _Allowed) -> bool:
    return not {name, name.partition(" ")[0]}.isdisjoint(allow)


# Name -> its meaning, and the function that finds violations.
CONDITIONS: Final[dict[str, tuple[str, Callable[[Report, _Allowed], _Found]]]] = {
    "hmp": ("any HMP was used, except what --allow names", _hmp),
    "blocked": ("HMP was used that the shim does not do, except what --allow names", _blocked),
    "gone": ("HMP was used that the QEMU of --target does not have, except what --allow names", _gone),
    "deprecated": ("HMP was used that is deprecated there, except what --allow names", _deprecated),
    "differs": ("an observed answer would differ in mode rewrite, or might", _differs),
    "error": ("a command failed", _error),
    "silent": ("a tool went on after a failure that only a reply's text reported", _silent),
    "overwritten": ("a snapshot was saved over", _overwritten),
    "incomplete": ("lines are damaged, or records lost (all others imply this)", _incomplete),
    "empty": ("there is no record at all, or none within --quiet-days", _empty),
}

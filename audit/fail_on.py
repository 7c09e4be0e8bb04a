"""What a report may be held against in a CI job: `--fail-on`."""

from collections.abc import Callable, Iterator, Set
from typing import Final, TypeAlias

from audit.counting.readiness import COVERED_COMMANDS
from audit.report import CommandUse, Fate, Outlook, Prospect, Report, ToolUse
from audit.switch import Agreement
from audit.wording import times

__all__ = ["CONDITIONS", "OF_HMP", "OF_TARGET", "violations"]

# Which HMP commands do not count, as mode "enforce" has them: "info block", or "info" for all its topics.
_Allowed: TypeAlias = Set[str]
_IMPLIED: Final = "incomplete"
# The conditions that --target answers, and those that --allow is for.
OF_TARGET: Final = frozenset({"gone", "deprecated"})
OF_HMP: Final = OF_TARGET | {"hmp", "blocked"}


def violations(report: Report, conditions: Set[str], allow: _Allowed) -> list[str]:
    """Say what the report has that the conditions do not want, a sentence each.

    Any condition implies `incomplete`: what is not on record cannot be known to be as wanted.
    """
    meant = {*conditions, _IMPLIED} if conditions else frozenset()
    return [text for name, (_, find) in CONDITIONS.items() if name in meant for text in find(report, allow)]


def _hmp(report: Report, allow: _Allowed) -> Iterator[str]:
    for use, command in _hmp_uses(report, allow):
        yield f"{use.tool.name} used HMP's {command.name} ({times(command.count)})"


def _blocked(report: Report, allow: _Allowed) -> Iterator[str]:
    for use, command in _hmp_uses(report, allow):
        if command.name not in COVERED_COMMANDS:
            yield f"{use.tool.name} used HMP's {command.name}, which is not done by the shim ({times(command.count)})"


def _gone(report: Report, allow: _Allowed) -> Iterator[str]:
    for outlook, one in _prospects(report, allow, Fate.GONE):
        yield f"{one.tool.name} used HMP's {one.command}, which {outlook.target} does not have ({times(one.count)})"


def _deprecated(report: Report, allow: _Allowed) -> Iterator[str]:
    for outlook, one in _prospects(report, allow, Fate.DEPRECATED):
        yield f"{one.tool.name} used HMP's {one.command}, which is deprecated in {outlook.target} ({times(one.count)})"


def _differs(report: Report, _: _Allowed) -> Iterator[str]:
    for one in () if report.switch is None else report.switch.contrasts:
        if one.agreement is Agreement.DIFFERS:
            yield f"mode rewrite would answer otherwise: {one.why} ({times(one.count)})"
        elif one.agreement is Agreement.UNKNOWN:
            yield f"what mode rewrite would answer is not known: {one.why} ({times(one.count)})"


def _error(report: Report, _: _Allowed) -> Iterator[str]:
    for failure in report.failures:
        yield f"{', '.join(failure.commands)} failed: {failure.text} ({times(failure.count)})"


def _silent(report: Report, _: _Allowed) -> Iterator[str]:
    for silent in report.silent_failures:
        yield f"{silent.tool.name} went on after a failed {silent.command} ({times(silent.count)})"


def _overwritten(report: Report, _: _Allowed) -> Iterator[str]:
    for one in report.overwritings:
        yield f"{one.tool.name} saved over a snapshot of {one.vm.name} ({times(one.count)})"


def _incomplete(report: Report, _: _Allowed) -> Iterator[str]:
    log = report.log
    counts = ((log.damaged, "damaged lines"), (log.lost, "records that could not be written"))
    further = ((log.unfinished, "commands without an outcome on record"), (len(log.unreadable), "logs that cannot be read"))
    for count, what in (*counts, *further):
        if count:
            yield f"the logs are not complete: {what}: {count}"


def _empty(report: Report, _: _Allowed) -> Iterator[str]:
    if not report.log.records:
        yield "there is no record: was the audit log switched on, and is it this file?"


def _hmp_uses(report: Report, allow: _Allowed) -> Iterator[tuple[ToolUse, CommandUse]]:
    for use in report.tools:
        for command in use.commands:
            if command.is_hmp and not _is_allowed(command.name, allow):
                yield use, command


def _prospects(report: Report, allow: _Allowed, fate: Fate) -> Iterator[tuple[Outlook, Prospect]]:
    if report.outlook is not None:
        for one in report.outlook.prospects:
            if one.fate is fate and not _is_allowed(one.command, allow):
                yield report.outlook, one


def _is_allowed(name: str, allow: _Allowed) -> bool:
    return not {name, name.partition(" ")[0]}.isdisjoint(allow)


# name -> what it means, and how it is found.
CONDITIONS: Final[dict[str, tuple[str, Callable[[Report, _Allowed], Iterator[str]]]]] = {
    "hmp": ("any HMP was used, except what --allow names", _hmp),
    "blocked": ("HMP was used that the shim does not do, except what --allow names", _blocked),
    "gone": ("HMP was used that the QEMU of --target does not have, except what --allow names", _gone),
    "deprecated": ("HMP was used that is deprecated there, except what --allow names", _deprecated),
    "differs": ("an observed answer would differ in mode rewrite, or that is not known", _differs),
    "error": ("a command failed", _error),
    "silent": ("a tool went on after a failure that only a reply's text reported", _silent),
    "overwritten": ("a snapshot was saved over", _overwritten),
    "incomplete": ("lines are damaged, or records lost (all others imply this)", _incomplete),
    "empty": ("there is no record at all", _empty),
}

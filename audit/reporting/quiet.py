"""What stopped long ago raises no alarm: `--quiet-days`.

A tool's command is quiet if the tool last used it more than that many days before the end, and a tool is quiet if all its HMP
is. The end is --until, or now: the last record would not do, because a log of HMP use ends with the last use.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from audit.reporting.report import CommandUse, Quiet, Report, State, ToolUse
from shim.records.audit_form import spell_time

__all__ = ["quieten", "within_days"]

_ORDER: Final = (State.BLOCKED, State.COVERED, State.QUIET, State.MODERN)


def within_days(days: int, end: datetime) -> Quiet:
    """Return the setting. end: aware. Raises OverflowError if there are more days than the calendar has."""
    return Quiet(days, spell_time(end), spell_time(end - timedelta(days=days)))


def quieten(report: Report, quiet: Quiet) -> Report:
    """Return the report with what is quiet marked, and each tool judged by the rest."""
    tools = [_judged(use, quiet.since) for use in report.tools]
    tools.sort(key=lambda use: _ORDER.index(use.state))
    return replace(report, tools=tuple(tools), quiet=quiet)


def _judged(use: ToolUse, since: str) -> ToolUse:
    commands = tuple(replace(command, is_quiet=command.is_hmp and command.last < since) for command in use.commands)
    quiet = {command.name for command in commands if command.is_quiet}
    blockers = tuple(blocker for blocker in use.blockers if blocker.command not in quiet)
    return replace(use, commands=commands, blockers=blockers, state=_state(commands, has_blockers=bool(blockers)))


def _state(commands: Sequence[CommandUse], *, has_blockers: bool) -> State:
    if has_blockers:
        return State.BLOCKED
    hmp = [command for command in commands if command.is_hmp]
    if not hmp:
        return State.MODERN
    return State.QUIET if all(command.is_quiet for command in hmp) else State.COVERED

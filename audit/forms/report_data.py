"""A report as JSON, for programs, and as CSV, for spreadsheets."""

import csv
import io
import json
from dataclasses import asdict
from typing import Final

from audit.forms.board_data import board_cells, board_members, change_members, ready_members, replacement_members
from audit.reporting.board import board
from audit.reporting.report import CommandUse, Failure, Fate, Outlook, Report, ToolUse
from audit.reporting.switch import Agreement, Switch
from shim.printable import printable
from shim.qmp import JSON

__all__ = ["REPORT_VERSION", "as_csv", "as_json", "harmless_cell", "to_members"]

# Incremented if a member changes its meaning, but not for new members.
REPORT_VERSION: Final = 2
_COLUMNS: Final = (
    *("tool", "place", "user", "hosts", "executables", "state", "command", "kind", "replacement", "count", "rewritten"),
    *("passed", "observed", "refused", "failed", "unknown", "silent", "first", "last"),
    *("quiet_since", "quiet", "trend", "change", "removed_per_week", "made_modern", "vm", "qmp", "paths"),
)
# A spreadsheet takes a cell that begins like this for a formula, and an HMP command's name is whatever a client sent.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def as_json(report: Report) -> str:
    """Return the report as one indented JSON object."""
    return json.dumps(to_members(report), indent=2)


def to_members(report: Report) -> dict[str, JSON]:
    """Return the members of the report's JSON form; the names are those of audit.reporting.report."""
    found = board(report)
    return {
        "report": REPORT_VERSION,
        "log": asdict(report.log),
        "switch": None if report.switch is None else _switch(report.switch),
        "quiet": None if report.quiet is None else asdict(report.quiet),
        "board": board_members(found),
        "changes": [change_members(change) for change in found.changes],
        "outlook": None if report.outlook is None else _outlook(report.outlook),
        "hmp_count": report.hmp_count,
        "modern_count": report.modern_count,
        "recovered": report.recovered,
        "tools": [_tool_use(use) for use in report.tools],
        "failures": [_failure(failure) for failure in report.failures],
        "silent_failures": [asdict(silent) for silent in report.silent_failures],
        "overwritings": [asdict(overwriting) for overwriting in report.overwritings],
        "standstills": [asdict(standstill) for standstill in report.standstills],
        "days": [
            {
                "day": day,
                "failed": report.failed_days.get(day, 0),
                "hmp": [{"tool": asdict(tool), "count": count} for tool, count in report.days.get(day, {}).items()],
                "modern": [{"tool": asdict(tool), "count": count} for tool, count in report.modern_days.get(day, {}).items()],
            }
            for day in sorted({*report.days, *report.modern_days})
        ],
        "timeline": [asdict(entry) for entry in report.timeline],
        "timeline_total": report.timeline_total,
    }


def _tool_use(use: ToolUse) -> dict[str, JSON]:
    return {
        "tool": asdict(use.tool),
        "hosts": list(use.hosts),
        "executables": list(use.executables),
        "paths": list(use.paths),
        "state": use.state.value,
        "blockers": [asdict(blocker) for blocker in use.blockers],
        "hmp_count": use.hmp_count,
        "modern_count": use.modern_count,
        "first": use.first,
        "last": use.last,
        "last_hmp": use.last_hmp,
        "commands": [
            asdict(command) | {"replacement": replacement_members(command.replacement), "ready": ready_members(command.ready)}
            for command in use.commands
        ],
    }


def _failure(failure: Failure) -> dict[str, JSON]:
    """Return a failure's members. `tools` is kept from when all tools' failures with the same text were one entry."""
    return asdict(failure) | {"tools": [asdict(failure.tool)]}


def _outlook(outlook: Outlook) -> dict[str, JSON]:
    return asdict(outlook) | {"counts": {fate.value: outlook.count(fate) for fate in Fate}}


def _switch(switch: Switch) -> dict[str, JSON]:
    counts = {one.value: sum(other.count for other in switch.contrasts if other.agreement is one) for one in Agreement}
    counts[Agreement.SAME.value] = switch.same - switch.elsewhere
    return {"verdict": switch.verdict, "observed": switch.observed, "counts": counts} | asdict(switch)


def as_csv(report: Report) -> str:
    """Return a line with the columns' names, and then one for each command of each tool."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    cells = board_cells(board(report))
    for use in report.tools:
        paths = " ".join(use.paths)
        writer.writerows(map(harmless_cell, (*_row(use, one), *cells(use, one), paths)) for one in use.commands)
    return text.getvalue()


def _row(use: ToolUse, command: CommandUse) -> tuple[str | int, ...]:
    tool = use.tool
    return (
        *(tool.name, tool.place, tool.user, " ".join(use.hosts), " ".join(use.executables), use.state.value),
        *(command.name, "HMP" if command.is_hmp else "QMP", "" if command.replacement is None else str(command.replacement)),
        *(command.count, command.rewritten, command.passed, command.observed, command.refused),
        *(command.failed, command.unknown, command.silent, command.first, command.last),
    )


def harmless_cell(cell: str | float) -> str | float:
    """Return the cell, escaped so that neither a terminal nor a spreadsheet obeys it."""
    if isinstance(cell, int | float):
        return cell
    shown = printable(cell)
    return f"'{shown}" if cell.startswith(_FORMULA) else shown

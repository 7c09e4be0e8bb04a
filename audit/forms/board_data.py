"""The board as JSON and as cells of the CSV form."""

import json
from collections.abc import Callable
from dataclasses import asdict

from audit.reporting.board import Board
from audit.reporting.next_changes import Change
from audit.reporting.ready import Ready
from audit.reporting.report import CommandUse, ToolUse
from shim.hmp.replacements import Replacement
from shim.qmp import JSON

__all__ = ["board_cells", "board_members", "change_members", "ready_members", "replacement_members"]


def board_members(board: Board) -> dict[str, JSON]:
    """Return the board without its changes."""
    return {
        "weeks": round(board.weeks, 3),
        "span": board.span.value,
        "begins": [begin.date().isoformat() for begin in board.begins],
        "tools": [
            {
                "tool": asdict(row.use.tool),
                "state": row.use.state.value,
                "trend": list(row.trend),
                "per_week": row.per_week,
                "quiet_since": row.quiet_since,
            }
            for row in board.rows
        ],
    }


def change_members(change: Change) -> dict[str, JSON]:
    return asdict(change) | {"replacement": replacement_members(change.replacement), "ready": ready_members(change.ready)}


def ready_members(ready: Ready | None) -> JSON:
    """Return the QMP to send instead, with the commands as JSON objects; None (null) if the log does not say enough."""
    return None if ready is None else asdict(ready) | {"commands": [json.loads(command) for command in ready.commands]}


def replacement_members(replacement: Replacement | None) -> JSON:
    """Return a replacement's members, without commands if QMP has none; None (null) if it is not known."""
    return None if replacement is None else {"commands": list(replacement.commands), "note": replacement.note}


def board_cells(board: Board) -> Callable[[ToolUse, CommandUse], tuple[str | float, ...]]:
    """Return a function that makes the cells for one command of one tool: on the tool, its change, and the QMP instead."""
    rows = {row.use.tool: row for row in board.rows}
    places = {(change.name, change.command): (place, change) for place, change in enumerate(board.changes, 1)}

    def cells(use: ToolUse, command: CommandUse) -> tuple[str | float, ...]:
        row = rows[use.tool]
        is_due = command.is_hmp and not command.is_quiet
        found = places.get((use.tool.name, command.name)) if is_due else None
        place, change = ("", None) if found is None else found
        effect = ("", "") if change is None else (change.per_week, len(change.modern))
        ready = ("", "") if command.ready is None else (command.ready.vm.name, " ".join(command.ready.commands))
        return (row.quiet_since, "yes" if command.is_quiet else "", " ".join(map(str, row.trend)), place, *effect, *ready)

    return cells

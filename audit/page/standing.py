"""The board on the page: where each tool stands, and what to change next."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from audit.page.elements import Element, make, words
from audit.page.sections import Label, section, state_mark
from audit.page.tables import NOTHING, Cell, Column, amount, cell, command, fold, long_text, table, text, time
from audit.reporting.board import Board, BoardRow, sparkline
from audit.reporting.next_changes import Change
from audit.reporting.parties import Tool
from audit.reporting.wording import number

__all__ = ["board_sections"]

# One row must not be a page long.
_PATHS: Final = 2


def board_sections(found: Board, label: Label) -> list[Element]:
    """Return the board, and the next changes if there are any; [] if no tool used HMP. label: returns a tool's name."""
    if not any(row.use.hmp_count for row in found.rows):
        return []
    rows = [_row(row, found, label) for row in found.rows]
    columns = [
        *(Column("State"), Column("Tool"), Column(f"Trend by {found.span.value}"), Column("HMP a week", is_number=True)),
        *(Column("Quiet since (UTC)"), Column("Host")),
    ]
    intro = "Each trend is drawn to its own tallest part. A tool is quiet since its last HMP command."
    standing = section("board", "Done yet?", intro, table("Tools, and the trend of their HMP use", columns, rows))
    return [standing, *([_changes(found.changes)] if found.changes else [])]


def _row(row: BoardRow, found: Board, label: Label) -> list[Cell]:
    use = row.use
    return [
        cell(make("span", state_mark(use.state), use.state.value, class_="state"), value=use.state.value),
        _tool(use.tool, label(use.tool)),
        _trend(row.trend, found.begins),
        Cell((f"{row.per_week:,.1f}",), row.per_week),
        time(row.quiet_since),
        text(use.seen_on),
    ]


def _tool(tool: Tool, shown: str) -> Cell:
    """Return a cell with a tool's name and, below it, where it runs and for whom, unless the name already says that."""
    owner = make("div", *words(tool.owner), class_="path") if tool.owner and shown == tool.name else None
    return Cell((*words(shown), owner), shown, look="name")


def _trend(counts: Sequence[int], begins: Sequence[datetime]) -> Cell:
    """Return a trend as a sparkline, with the numbers for those who cannot see it. It is sorted by the latest number."""
    if not counts:
        return cell(NOTHING, value=0)
    told = f"HMP commands from {begins[0]:%Y-%m-%d} on: {', '.join(map(number, counts))}"
    return cell(make("span", sparkline(counts), class_="spark", role="img", aria_label=told, title=told), value=counts[-1])


def _changes(changes: Sequence[Change]) -> Element:
    columns = [
        *(Column("Place", is_number=True), Column("Command"), Column("Tool"), Column("QMP to send")),
        *(Column("HMP removed a week", is_number=True), Column("Tools made modern", is_number=True), Column("Last used (UTC)")),
    ]
    rows = [
        [
            *(amount(place), command(change.command), _program(change), _to_send(change)),
            *(Cell((f"{change.per_week:,.1f}",), change.per_week), amount(len(change.modern)), time(change.last)),
        ]
        for place, change in enumerate(changes, 1)
    ]
    intro = (
        "A change replaces one HMP command in one program, wherever that runs. First comes what makes the most tools modern, "
        "then what removes the most HMP; each builds on those before it. What QMP has no equivalent of comes last."
    )
    return section("changes", "Next changes", intro, table("Next changes", columns, rows))


def _program(change: Change) -> Cell:
    """Name a program, with the paths of its script or itself below its name."""
    paths = [make("div", *words(path), class_="path") for path in change.paths]
    return Cell((*words(change.name), *fold(paths, _PATHS)), change.name, look="name")


def _to_send(change: Change) -> Cell:
    ready = change.ready
    if ready is None:
        return long_text("no replacement known here" if change.replacement is None else str(change.replacement))
    host = f" on {ready.vm.host}" if ready.vm.host else ""
    lines = [make("div", make("code", *words(sent))) for sent in ready.commands]
    origin = make("div", make("code", *words(ready.command_line)), *words(f" of {ready.vm.name}{host}"), class_="origin")
    note = make("div", f"({ready.note})", class_="note") if ready.note else None
    return Cell((origin, *lines, note), ready.command_line, look="long")

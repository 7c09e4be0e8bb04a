"""The board as text for a terminal: a line for each tool, and what to change next, with the QMP to send instead."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from audit.forms.text_width import wrapped
from audit.reporting.board import Board, board, sparkline
from audit.reporting.next_changes import Change
from audit.reporting.ready import Ready
from audit.reporting.report import Report
from audit.reporting.wording import counted, listed, minute
from shim.printable import printable

__all__ = ["Layout", "board_lines"]

# Lays out a table, given its headings, its rows, and which columns are numbers.
Layout = Callable[[Sequence[str], Sequence[Sequence[str]], Sequence[int]], list[str]]

_LISTED: Final = 20
# A tool may send anything for a command, and have any name, so both are shortened.
_NAME_CHARS: Final = 40
_ORDER: Final = (
    "Next changes: first what makes the most tools modern, then what removes the most HMP; each builds on those before it"
)
_INDENT: Final = "       "
_HANGING: Final = "  "
# The parts between which a line of JSON can be broken: blanks outside strings separate them.
_PARTS: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^"\s])+')


def board_lines(report: Report, lay_out: Layout, *, width: int, is_ascii: bool = False) -> list[str]:
    """Return the lines; [] if no tool used HMP. width: for text outside tables."""
    found = board(report)
    if not report.hmp_count:
        return []
    heads = ("tool", "host", f"trend by {found.span.value}", "HMP a week", "quiet since", "state")
    rows = [
        (
            *(row.use.tool.label, row.use.seen_on or "-", sparkline(row.trend, is_ascii=is_ascii), f"{row.per_week:,.1f}"),
            *(minute(row.quiet_since) or "-", row.use.state.value),
        )
        for row in found.rows
    ]
    return ["Done yet?", *lay_out(heads, rows, (3,)), *_changes(found, width)]


def _changes(found: Board, width: int) -> Iterator[str]:
    if not found.changes:
        return
    yield ""
    yield from _wrapped(_ORDER, width)
    for place, change in enumerate(found.changes[:_LISTED], 1):
        what = f"{_short(change.command)} in {_tail(change.name)}{_at(change)}{_where(change)}"
        yield from _wrapped(f"  {place:>2}. {what}: {change.effect}", width)
        if change.ready is None:
            yield from _wrapped(f"{_INDENT}{change.instead}", width)
        else:
            yield from _ready(change.ready, width)
    if len(found.changes) > _LISTED:
        yield from _wrapped(f"  … and {counted(len(found.changes) - _LISTED, 'more change')} (--json has all)", width)


def _short(command: str) -> str:
    return command if len(command) <= _NAME_CHARS else f"{command[:_NAME_CHARS]}…"


def _tail(name: str) -> str:
    """Shorten a path at its beginning, where it says least."""
    return name if len(name) <= _NAME_CHARS else f"…{name[-_NAME_CHARS:]}"


def _at(change: Change) -> str:
    return f" ({listed([_tail(path) for path in change.paths], most=3)})" if change.paths else ""


def _where(change: Change) -> str:
    return f" on {listed(change.hosts, most=3)}" if change.hosts else ""


def _ready(ready: Ready, width: int) -> Iterator[str]:
    host = f" on {ready.vm.host}" if ready.vm.host else ""
    yield from _wrapped(f"{_INDENT}{ready.command_line} (of {ready.vm.name}{host}) is", width)
    for command in ready.commands:
        yield from _json_lines(command, width)
    if ready.note:
        yield from _wrapped(f"{_INDENT}({ready.note})", width)


def _json_lines(command: str, width: int) -> Iterator[str]:
    """Break a command only at blanks outside strings, so that it is still the same JSON when it is copied."""
    line, parts = "", _PARTS.findall(command)
    is_roomy = len(_INDENT) + len(_HANGING) + max(map(len, parts)) <= width
    indent = _INDENT if is_roomy else _HANGING
    for part in parts:
        if line and len(indent) + len(line) + 1 + len(part) > width:
            yield f"{indent}{line}"
            line = f"{_HANGING}{part}"
        else:
            line = f"{line} {part}" if line else part
    yield f"{indent}{line}"


def _wrapped(line: str, width: int) -> list[str]:
    shown = printable(line)
    return wrapped(shown, width, hanging=len(_INDENT) - (len(shown) - len(shown.lstrip(" "))))

"""The VM's snapshots as a table for a terminal, with what is wrong with them and what to type.

The result is prompt_toolkit's "formatted text", pairs of a style and a text, for a terminal of a given width. No terminal or
clock is used here. What comes from QEMU is escaped, so that a terminal shows it and does not obey it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import chain, zip_longest
from typing import TypeAlias

from prompt_toolkit.utils import get_cwidth

from repl.output.faults import fault_lines
from repl.output.layout import COMMAND, Fragment, Line, cut, joined, words, wrapped
from shim.advice.inventory import TagEntry
from shim.hmp.render import size_text
from shim.plans.repairs import Fault, FaultKind

__all__ = [
    "age_text",
    "ago_text",
    "date_text",
    "shown_tag",
    "snapshot_table",
]

LocalTime: TypeAlias = Callable[[int], datetime]

_DIM, _HEADER, _TAG = "class:dim", "class:table.header", "class:tag"
_GAP = "  "
_NARROW_COLUMNS = 50
_COLUMNS = ("TAG", "VM STATE", "AGE", "DATE", "VM CLOCK", "DISKS", "STATE ON")
# The columns that a narrow table drops, in this order.
_DISPENSABLE = ("VM CLOCK", "DATE", "STATE ON", "VM STATE")
# Columns whose cells may take several lines.
_LISTS = ("DISKS", "STATE ON")
_OF_ALL_TAGS = (FaultKind.UNABLE, FaultKind.BUSY)
_STYLES = {"TAG": _TAG, "DATE": _DIM, "VM CLOCK": _DIM}
# From this many seconds on an age is given in this unit; the unit's length in seconds, average ones for months and years; name.
_UNITS = ((63_072_000, 31_556_952, "years"), (5_184_000, 2_629_746, "months"), (86_400, 86_400, "days"), (3_600, 3_600, "h"))


def snapshot_table(
    entries: Sequence[TagEntry],
    *,
    obstacles: Sequence[Fault] = (),
    width: int,
    now: datetime,
    local_time: LocalTime,
) -> list[Fragment]:
    """Return the entries in the order given, each with its faults below it.

    obstacles: what is in the way of all tags, shown once at the end. now: aware, or this host's local time. local_time:
    converts seconds since the epoch to the time to show. No line is wider than `width`, except for a word of a command, which
    is never cut.
    """
    if not entries:
        return joined([*_nothing(obstacles, width), *fault_lines(obstacles, width)])
    rows = [_cells(entry, now, local_time) for entry in entries]
    widths = _layout(rows, width)
    lines: list[Line] = [] if widths is None else _row({title: title for title in widths}, widths, {})
    for entry, cells in zip(entries, rows, strict=True):
        lines += _stacked(entry, cells, now, width) if widths is None else _row(cells, widths, _STYLES)
        lines += fault_lines([fault for fault in entry.faults if fault.kind not in _OF_ALL_TAGS], width)
    return joined([*lines, *fault_lines(obstacles, width)])


def _nothing(obstacles: Sequence[Fault], width: int) -> list[Line]:
    kinds = {fault.kind for fault in obstacles}
    if FaultKind.UNABLE in kinds:
        return wrapped(words("No snapshot can be seen now."), width=width)
    if kinds - {FaultKind.BUSY}:
        return wrapped(words("There is no snapshot."), width=width)
    return wrapped([*words("There is no snapshot. To make one:"), (COMMAND, "savevm NAME")], width=width)


# -- what an entry says ---------------------------------------------------------------------------------------------------


def _cells(entry: TagEntry, now: datetime, local_time: LocalTime) -> dict[str, str]:
    return {
        "TAG": shown_tag(entry.tag),
        "VM STATE": size_text(entry.vm_state_bytes) if entry.vm_state_bytes else "-",
        "AGE": age_text(now.timestamp() - entry.date_sec) if entry.date_sec else "-",
        "DATE": date_text(entry.date_sec, local_time),
        "VM CLOCK": _clock_text(entry.vm_clock_ns),
        "DISKS": ", ".join(f"{held.label} ({held.count}x)" if held.count > 1 else held.label for held in entry.nodes),
        "STATE ON": ", ".join(entry.vmstate_nodes) or "-",
    }


def age_text(seconds: float) -> str:
    """Return an age in one unit, rounded down: "42 s", "3 min", "2 h", "5 days"; a negative one as "... in the future"."""
    if seconds < 0:
        return f"{age_text(-seconds)} in the future"
    for least, unit, name in _UNITS:
        if seconds >= least:
            count = int(seconds // unit)
            return f"{count} {'day' if name == 'days' and count == 1 else name}"
    return f"{int(seconds // 60)} min" if seconds >= 60 else f"{int(seconds)} s"


def ago_text(seconds: float) -> str:
    """Return an age as part of a sentence."""
    return age_text(seconds) if seconds < 0 else f"{age_text(seconds)} ago"


def date_text(date_sec: int, local_time: LocalTime) -> str:
    """Return a snapshot's date; "-" if it has none."""
    return local_time(date_sec).strftime("%Y-%m-%d %H:%M:%S") if date_sec else "-"


def _clock_text(clock_ns: int) -> str:
    seconds, ns = divmod(clock_ns, 1_000_000_000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ns // 1_000_000:03}"


def shown_tag(tag: str) -> str:
    """Spell a tag so that a terminal shows all of it, even an empty one, and blanks at its ends."""
    return tag if tag and tag.isprintable() and tag == tag.strip() else repr(tag)


# -- the table ------------------------------------------------------------------------------------------------------------


def _layout(rows: Sequence[Mapping[str, str]], width: int) -> dict[str, int] | None:
    """Return the columns for which there is room, and their widths; None if no table fits."""
    if width < _NARROW_COLUMNS:
        return None
    natural = {title: _column_width(title, [row[title] for row in rows], width) for title in _COLUMNS}
    for left_out in range(1 + len(_DISPENSABLE)):
        widths = {title: size for title, size in natural.items() if title not in _DISPENSABLE[:left_out]}
        if sum(widths.values()) + len(_GAP) * (len(widths) - 1) <= width:
            return widths
    return None


def _column_width(title: str, cells: Sequence[str], width: int) -> int:
    widest = max(map(get_cwidth, (title, *cells)))
    if title == "TAG":
        return min(widest, max(16, width // 3))
    if title in _LISTS:
        return max(min(widest, width // 4), *(get_cwidth(word) for cell in (title, *cells) for word in cell.split()))
    return widest


def _row(cells: Mapping[str, str], widths: Mapping[str, int], styles: Mapping[str, str]) -> list[Line]:
    """Return the lines of a row. Without styles it is the header."""
    columns = [_cell_lines(title, cells[title], size) for title, size in widths.items()]
    lines: list[Line] = []
    for texts in zip_longest(*columns, fillvalue=""):
        line: Line = []
        for (title, size), text in zip(widths.items(), texts, strict=True):
            style = styles.get(title, "") if styles else _HEADER
            line += [(style, text), ("", " " * (size - get_cwidth(text)) + _GAP)]
        lines.append(_without_blanks_at_the_end(line))
    return lines


def _cell_lines(title: str, text: str, size: int) -> list[str]:
    if title in _LISTS:
        return ["".join(part for _, part in line) for line in wrapped(words(text), width=size)]
    return [cut(text, size)]


def _without_blanks_at_the_end(line: Line) -> Line:
    while line and not line[-1][1].strip():
        line = line[:-1]
    return line


def _stacked(entry: TagEntry, cells: Mapping[str, str], now: datetime, width: int) -> list[Line]:
    """Return the tag on one line, and what is known about it on lines below, for a terminal too narrow for a table."""
    date = f"{ago_text(now.timestamp() - entry.date_sec)} ({cells['DATE']})" if entry.date_sec else "at an unknown time"
    state = f"VM state: {cells['VM STATE']} on {cells['STATE ON']}" if entry.vm_state_bytes else "no VM state"
    facts = (f"disks: {cells['DISKS']}", state, f"saved {date}", f"VM clock {cells['VM CLOCK']}")
    below = (wrapped(words(fact, _DIM), width=width, indent=2, hanging=4) for fact in facts)
    return [[(_TAG, cut(cells["TAG"], width))], *chain.from_iterable(below)]

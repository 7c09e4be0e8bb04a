"""The table of VMs for a terminal of a certain size: what needs attention stays visible, and the rest is counted.

A line that is still too long is left to the terminal's program, which cuts it off (proxy/commands/watch.py).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from proxy.control.status import PatternStatus, VMStatus
from proxy.control.table import HEADER, cells_of, pattern_problems, problems, times
from proxy.routing.vm_history import Failure
from shim.printable import aligned, printable

__all__ = ["fitted_table"]

_GAP: Final = 2
# The columns that can be left out, the least important first.
_EXPENDABLE: Final = ("MODE", "POLICY", "QEMU", "COMMANDS", "WAITING", "CLIENTS", "DONE")
# As much of a running command as must be visible; its client follows.
_RUNNING_CHARS: Final = 24
# As much of a name as must be visible.
_NAME_CHARS: Final = 10
# For how long a failure needs attention.
_LATELY: Final = timedelta(days=1)


def fitted_table(
    vms: Sequence[VMStatus],
    patterns: Sequence[PatternStatus],
    notes: Sequence[str] = (),
    *,
    columns: int,
    lines: int,
    now: datetime,
) -> str:
    """Return a table of VMs, with the reasons below it, in so many lines. The columns that matter fit into so many characters.

    vms: sorted by name. patterns: those by which VMs are discovered. notes: lines about the process. now: aware; it tells which
    failures need attention.
    """
    table = _narrowed([HEADER, *map(cells_of, vms)], columns)
    sections = [table, notes, problems(vms), pattern_problems(patterns), _failures(vms)]
    whole = "\n\n".join("\n".join(section) for section in sections if section)
    if whole.count("\n") < lines:
        return whole
    order = sorted(range(len(vms)), key=lambda index: _urgency(vms[index], now))
    rows = [table[1 + index] for index in order]
    reasons = [*notes]
    reasons += [reason for index in order for reason in (*problems([vms[index]]), *_failures([vms[index]]))]
    reasons += pattern_problems(patterns)
    # Without the header, and the last line.
    room = max(lines - 2, 0)
    row_count, reason_count = _shares(room, len(rows), len(reasons))
    shown = ["", *reasons[:reason_count]] if reason_count else []
    hidden = _told_hidden(len(rows) - row_count, len(reasons) - reason_count)
    return "\n".join([table[0], *rows[:row_count], *shown, *hidden])


def _urgency(vm: VMStatus, now: datetime) -> int:
    """Return a key that sorts VMs by how much they need attention. Those that are off are often many, and meant to be."""
    if vm.running is not None:
        return 0
    if vm.silent_s is not None:
        return 1
    if vm.failures and now - datetime.fromisoformat(vm.failures[-1].time) < _LATELY:
        return 2
    if vm.pause is not None:
        return 3
    return 4 if not vm.has_qemu or vm.problem is not None else 5


def _failures(vms: Sequence[VMStatus]) -> list[str]:
    """Return a line for the last failure of each VM. The reason comes before what a narrow terminal has no room for."""
    last = [(vm.name, vm.failures[-1]) for vm in vms if vm.failures]
    return [printable(f"{name}: '{one.command}': {one.text} ({one.client}, {one.time}{_repeated(one)})") for name, one in last]


def _repeated(failure: Failure) -> str:
    return f", {times(failure.count)}" if failure.count > 1 else ""


def _shares(room: int, rows: int, reasons: int) -> tuple[int, int]:
    """Return how many rows and how many reasons are shown. Reasons take a third of the room, with the empty line before them,
    or more if the rows leave it."""
    if reasons == 0 or room < 3:
        return min(rows, room), 0
    reason_count = min(reasons, max(room // 3, room - rows) - 1)
    return (min(rows, room - reason_count - 1), reason_count) if reason_count > 0 else (min(rows, room), 0)


def _told_hidden(rows: int, reasons: int) -> list[str]:
    counts = [f"{count} more {noun}{'s' if count > 1 else ''}" for count, noun in ((rows, "VM"), (reasons, "reason")) if count]
    return [f"… and {', '.join(counts)}"] if counts else []


def _narrowed(rows: Sequence[Sequence[str]], columns: int) -> list[str]:
    """Return the lines of a table without the columns for which there is no room."""
    shown = [tuple(map(printable, row)) for row in rows]
    for name in _EXPENDABLE:
        if _width(shown) <= columns:
            break
        index = shown[0].index(name)
        shown = [(*row[:index], *row[index + 1 :]) for row in shown]
    too_wide = max(_width(shown) - columns, 0)
    most = max(max(len(row[0]) for row in shown) - too_wide, _NAME_CHARS)
    return aligned([(name if len(name) <= most else f"{name[: most - 1]}…", *row) for name, *row in shown])


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Return how wide a table is at least: the last column may be cut off."""
    *widths, last = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return sum(widths) + _GAP * len(widths) + min(last, _RUNNING_CHARS)

"""HMP's texts: errors and the tables of `info snapshots`, byte for byte as each QEMU prints them.

This module only formats. It reads no clock and no time zone, and knows nothing about nodes, the HMP set or which snapshot is
on every disk. Lines end in CRLF, as a monitor's do (monitor/monitor.c). The table's layout is that of block/qapi.c,
bdrv_snapshot_dump, and its frame that of block/monitor/block-hmp-cmds.c, hmp_info_snapshots.

Tools parse these tables by columns and by whole lines, so one blank more or less breaks them. Each text was taken from a real
QEMU, and tests/integration/hmp/test_render_against_qemu.py compares it with every version under test.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from shim.qmp import JSON, QEMUVersion

__all__ = [
    "NO_SNAPSHOT",
    "NO_VMSTATE_CANDIDATE",
    "Snapshot",
    "error",
    "no_vmstate_candidate",
    "size_text",
    "snapshot_table",
]

# What `info snapshots` prints if no node has a snapshot.
NO_SNAPSHOT = "There is no snapshot available.\r\n"

# The error if no node can hold a VM state (migration/savevm.c, QEMU 6.0 and later).
NO_VMSTATE_CANDIDATE = "no block device can store vmstate for snapshot"

_NO_VMSTATE_CANDIDATE_5_2 = "No available block device supports snapshots"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One row of a table (qapi/block-core.json, SnapshotInfo). `icount` is None outside record/replay."""

    snapshot_id: str
    name: str
    vm_state_size: int
    date_sec: int
    vm_clock_ns: int
    icount: int | None

    @classmethod
    def from_wire(cls, info: Mapping[str, JSON]) -> Self:
        """Take what the tables show from a SnapshotInfo; no table shows date-nsec.

        Raises KeyError if a member that the schema requires is missing.
        """
        return cls(
            snapshot_id=info["id"],
            name=info["name"],
            vm_state_size=info["vm-state-size"],
            date_sec=info["date-sec"],
            vm_clock_ns=info["vm-clock-sec"] * 1_000_000_000 + info["vm-clock-nsec"],
            icount=info.get("icount"),
        )


@dataclass(frozen=True, slots=True)
class _Layout:
    """One generation of the table's layout.

    line: printf's format for titles and rows. clock: the format of hours, minutes, seconds and milliseconds. no_icount: what is
    printed for a missing icount.
    """

    line: bytes
    titles: tuple[str, ...]
    clock: str
    no_icount: str


_TITLES = ("ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT")
_LAYOUT_5_2 = _Layout(
    line=b"%-9s %-17s %7s%20s%13s%11s\n",
    titles=_TITLES,
    clock="{:02}:{:02}:{:02}.{:03}",
    no_icount="",
)
# 6.0: "block: Fix VM size column width in bdrv_snapshot_dump()", for sizes like `4.24 MiB`.
_LAYOUT_6_0 = replace(_LAYOUT_5_2, line=b"%-9s %-16s %8s%20s%13s%11s\n")
# 9.0: "qemu-img: Fix Column Width and Improve Formatting in snapshot list", for clocks of 100 hours and more.
_LAYOUT_9_0 = _Layout(
    line=b"%-7s %-16s %8s %19s %15s %10s\n",
    titles=("ID", "TAG", "VM_SIZE", "DATE", "VM_CLOCK", "ICOUNT"),
    clock="{:04}:{:02}:{:02}.{:03}",
    no_icount="--",
)

# util/cutils.c, size_to_str, which QEMU uses for the column VM SIZE.
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")

# QEMU stores U+0000 as two bytes (util/unicode.c, "modified UTF-8"), and pads columns by bytes.
_NUL = b"\xc0\x80"

_ID_ON_ALL_DISKS = "--"


def error(desc: str) -> str:
    """Return the text with which HMP reports an error (monitor/hmp-cmds.c, hmp_handle_error)."""
    return _to_crlf(f"Error: {desc}\n")


def no_vmstate_candidate(version: QEMUVersion) -> str:
    """Return what `info snapshots` prints if no node can hold a VM state."""
    if version < (6, 0):
        return _NO_VMSTATE_CANDIDATE_5_2 + "\r\n"
    # 10.2 began to use hmp_handle_error here ("block/monitor: Use hmp_handle_error to report error"), which adds the prefix.
    return error(NO_VMSTATE_CANDIDATE) if version >= (10, 2) else NO_VMSTATE_CANDIDATE + "\r\n"


def snapshot_table(
    *,
    on_all_disks: Sequence[Snapshot],
    partial: Sequence[tuple[str, Sequence[Snapshot]]],
    version: QEMUVersion,
    local_time: Callable[[int], datetime],
) -> str:
    """Return the text of `info snapshots`.

    `on_all_disks` are rows of the node that holds the VM state, in its order; HMP shows no ID for them. `partial` pairs
    the name of each disk's BlockBackend ("" if it has none), in HMP's order of disks, with the disk's other snapshots;
    a disk without any is left out. `local_time` turns seconds since the epoch into QEMU's local time.
    """
    lists = [(disk, snapshots) for disk, snapshots in partial if snapshots]
    if not on_all_disks and not lists:
        return NO_SNAPSHOT

    def table(snapshots: Sequence[Snapshot]) -> str:
        layout = _layout(version)
        rows = (_cells(snapshot, layout, local_time) for snapshot in snapshots)
        return "".join(_line(layout, cells) for cells in (layout.titles, *rows))

    without_id = [replace(snapshot, snapshot_id=_ID_ON_ALL_DISKS) for snapshot in on_all_disks]
    text = "List of snapshots present on all disks:\n" + (table(without_id) if without_id else "None\n")
    for disk, snapshots in lists:
        text += f"\nList of partial (non-loadable) snapshots on '{disk}':\n" + table(snapshots)
    return _to_crlf(text)


def _layout(version: QEMUVersion) -> _Layout:
    if version >= (9, 0):
        return _LAYOUT_9_0
    return _LAYOUT_6_0 if version >= (6, 0) else _LAYOUT_5_2


def _cells(snapshot: Snapshot, layout: _Layout, local_time: Callable[[int], datetime]) -> tuple[str, ...]:
    return (
        snapshot.snapshot_id,
        snapshot.name,
        size_text(snapshot.vm_state_size),
        local_time(snapshot.date_sec).strftime("%Y-%m-%d %H:%M:%S"),
        _clock(snapshot.vm_clock_ns, layout),
        layout.no_icount if snapshot.icount is None else str(snapshot.icount),
    )


def size_text(size_bytes: int) -> str:
    """Return the size with three digits and a unit, like util/cutils.c, size_to_str: 1000 of a unit are 0.977 of the next."""
    exponent = 0
    while size_bytes >= 1000 * 1024**exponent:
        exponent += 1
    return f"{size_bytes / 1024**exponent:.3g} {_UNITS[exponent]}"


def _clock(clock_ns: int, layout: _Layout) -> str:
    seconds, ns = divmod(clock_ns, 1_000_000_000)
    return layout.clock.format(seconds // 3600, seconds // 60 % 60, seconds % 60, ns // 1_000_000)


def _line(layout: _Layout, cells: Sequence[str]) -> str:
    # bytes % pads by bytes, like C's printf: a tag with non-ASCII letters shifts the columns after it, in QEMU and here.
    # A lone surrogate cannot come from QEMU; it is kept rather than refused.
    fields = tuple(cell.encode(errors="surrogatepass").replace(b"\0", _NUL) for cell in cells)
    return (layout.line % fields).replace(_NUL, b"\0").decode(errors="surrogatepass")


def _to_crlf(text: str) -> str:
    """End each line as a monitor does, even where the line break is inside a tag."""
    return text.replace("\n", "\r\n")

"""The HMP commands of the modelled QEMU: savevm, loadvm, delvm and `info snapshots`; of all others the refusal.

Parsing is monitor/hmp.c's, the table migration/savevm.c's and block/qapi.c's, in the layout of QEMU 7.2. `info` without
a topic and QEMU's other commands are not modelled.
"""

import re
from datetime import datetime
from typing import Final

from tests.fakes.block import Node, Snapshot
from tests.fakes.jobs import SnapshotError
from tests.fakes.vm import VM

__all__ = ["run_hmp"]

BLANKS: Final = " \t\n\v\f\r"
_NAME: Final = re.compile(rf"[{BLANKS}]*([^{BLANKS}/]*)")
_ARGUMENT: Final = re.compile(rf'"((?:\\[nr\\\'"]|[^\\"])*)"|([^"{BLANKS}][^{BLANKS}]*)')
_ESCAPES: Final = {"n": "\n", "r": "\r"}


def run_hmp(vm: VM, line: str) -> str:
    """Run an HMP line and give its text, with bare LF."""
    name = _NAME.match(line)
    if name is None or not line.strip(BLANKS):
        return ""
    rest = line[name.end() :]
    if name[1] == "info":
        return _info(vm, line, rest)
    if name[1] not in {"savevm", "loadvm", "delvm"}:
        return f"unknown command: '{line[: name.end()]}'\n"
    return _snapshot_command(vm, name[1], rest.strip(BLANKS))


def _snapshot_command(vm: VM, name: str, rest: str) -> str:
    hint = f'\nTry "help {name}" for more information\n'
    argument = _ARGUMENT.match(rest)
    if argument is None and (rest or name != "savevm"):
        return f"{name}: string expected{hint}"
    if argument is not None and argument.end() != len(rest):
        return f"{name}: extraneous characters at the end of line{hint}"
    tag = None if argument is None else _unquote(argument)
    try:
        _run_snapshot_command(vm, name, tag)
    except SnapshotError as exc:
        return f"Error: {exc}\n"
    return ""


def _run_snapshot_command(vm: VM, name: str, tag: str | None) -> None:
    if name == "savevm":
        vm.save_snapshot(tag, overwrite=True)
    elif name == "loadvm":
        vm.load_snapshot(tag or "")
    else:
        vm.delete_snapshot(tag or "")


def _unquote(argument: re.Match[str]) -> str:
    if argument[1] is None:
        return argument[2]
    return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), argument[1])


def _info(vm: VM, line: str, rest: str) -> str:
    topic = _NAME.match(rest)
    if topic is None or topic[1] != "snapshots":
        end = len(line) - len(rest) + (topic.end() if topic else 0)
        return f"unknown command: '{line[:end]}'\n"
    if rest[topic.end() :].strip(BLANKS):
        hint = 'Try "help info snapshots" for more information'
        return f"snapshots: extraneous characters at the end of line\n{hint}\n"
    return _info_snapshots(vm)


def _info_snapshots(vm: VM) -> str:
    """hmp_info_snapshots: those on all nodes, as the vmstate node lists them; then what each node has beside."""
    nodes = vm.graph.hmp_set()
    able = [node for node in nodes if vm.graph.can_snapshot(node)]
    if not able:
        return "no block device can store vmstate for snapshot\n"
    lists = {node.name: vm.graph.snapshots_of(node) for node in able}
    if not any(lists.values()):
        return "There is no snapshot available.\n"
    on_all = [row for row in lists[able[0].name] if _is_everywhere(vm, nodes, row.name)]
    names = {row.name for row in on_all}
    text = "List of snapshots present on all disks:\n"
    text += _table([("--", row) for row in on_all]) if on_all else "None\n"
    for node in able:
        partial = [(row.id, row) for row in lists[node.name] if row.name not in names]
        if partial:
            device = next((backend.device for backend in vm.graph.backends if backend.root == node.name), "")
            text += f"\nList of partial (non-loadable) snapshots on '{device}':\n{_table(partial)}"
    return text


def _is_everywhere(vm: VM, nodes: list[Node], tag: str) -> bool:
    return all(any(row.name == tag for row in vm.graph.snapshots_of(node)) for node in nodes)


def _table(rows: list[tuple[str, Snapshot]]) -> str:
    head = f"{'ID':<10}{'TAG':<17}{'VM SIZE':>8}{'DATE':>20}{'VM CLOCK':>13}{'ICOUNT':>11}\n"
    return head + "".join(_row(shown_id, row) for shown_id, row in rows)


def _row(shown_id: str, row: Snapshot) -> str:
    date = datetime.fromtimestamp(row.date_ns // 10**9).strftime("%Y-%m-%d %H:%M:%S")
    seconds, ns = divmod(row.vm_clock_ns, 10**9)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ns // 10**6:03}"
    return f"{shown_id:<9} {row.name:<16} {_size(row.vm_state_size):>8}{date:>20}{clock:>13}{'':>11}\n"


def _size(size_bytes: int) -> str:
    value, units = float(size_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1000 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.3g} {units[0]}"

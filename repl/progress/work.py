"""What the QMP commands sent to QEMU amount to: a save, a load, a question, or something else."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from shim.graph.blockgraph import BlockGraph
from shim.hmp.line import HMPLine, LoadVM, SaveVM
from shim.plans.jobs import JOB_PREFIX, REPL_JOB_PREFIX
from shim.qmp import JSON, Execute

__all__ = ["Kind", "Work", "is_question", "read_ram_bytes", "state_bytes", "work_of"]


class Kind(Enum):
    """SAVE writes a VM state, LOAD reads one."""

    SAVE = auto()
    LOAD = auto()


@dataclass(frozen=True, slots=True)
class Work:
    """Work that takes long. tag: of a load; None for a save. parts: how many states are written before the command ends."""

    kind: Kind
    tag: str | None = None
    parts: int = 1


def work_of(under_way: Sequence[Execute], before: Iterable[Execute] = ()) -> Work | None:
    """Return what the commands that were last sent do; None if that is neither a save nor a load.

    before: the commands that were sent earlier for the same line.
    """
    for command in under_way:
        match command.command, command.arguments:
            case "snapshot-save", _:
                is_safe = any(map(_is_saved_first, (*before, command)))
                return Work(Kind.SAVE, parts=2 if is_safe else 1)
            case "snapshot-load", {"tag": str(tag)}:
                return Work(Kind.LOAD, tag)
            case "human-monitor-command", {"command-line": str(line)}:
                return _work_of_line(line)
    return None


def _work_of_line(line: str) -> Work | None:
    match HMPLine.read(line).command:
        case SaveVM():
            return Work(Kind.SAVE)
        case LoadVM(tag):
            return Work(Kind.LOAD, tag)
    return None


def _is_saved_first(command: Execute) -> bool:
    """Return whether a state is saved under an internal tag, to be saved again afterwards (overwrite = "safe")."""
    tag: JSON = command.arguments.get("tag")
    return command.command == "snapshot-save" and isinstance(tag, str) and tag.startswith((JOB_PREFIX, REPL_JOB_PREFIX))


def is_question(under_way: Sequence[Execute]) -> bool:
    """Return whether QEMU answers these at once, unless it is working for somebody else."""
    return all(
        command.command.startswith(("query-", "x-debug-query-", "qom-", "job-dismiss", "__hmpshim_"))
        or str(command.arguments.get("command-line", "")).split()[:1] in (["info"], ["help"])
        for command in under_way
    )


def read_ram_bytes(memory: JSON) -> int | None:
    """Read the value of `query-memory-size-summary`; return None if it is something else."""
    match memory:
        case {"base-memory": int(base), "plugged-memory": int(plugged)}:
            return base + plugged
        case {"base-memory": int(base)}:  # QEMU omits the other member if no memory can be plugged
            return base
    return None


def state_bytes(graph: BlockGraph, work: Work) -> int | None:
    """Return the size of the VM state to load; for a save, that of the newest snapshot as an estimate; None if unknown."""
    states = [row for node in graph.nodes.values() for row in node.snapshots if row.vm_state_size]
    if work.kind is Kind.LOAD:
        states = [row for row in states if row.name == work.tag]
    newest = max(states, key=lambda row: row.date_sec, default=None)
    return None if newest is None else newest.vm_state_size

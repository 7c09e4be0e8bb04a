"""What the QMP commands that QEMU is given come down to: a save, a load, a question, or something else."""

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
    """What takes long. tag: of a load; None for a save. parts: how many states are written before the command ends."""

    kind: Kind
    tag: str | None = None
    parts: int = 1


def work_of(under_way: Sequence[Execute], before: Iterable[Execute] = ()) -> Work | None:
    """Return what the commands that were sent last do; None where that is neither a save nor a load.

    before: those that the same command of the person has had sent.
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
    """Tell whether a state is saved under an internal tag, and then once more (overwrite = "safe")."""
    tag: JSON = command.arguments.get("tag")
    return command.command == "snapshot-save" and isinstance(tag, str) and tag.startswith((JOB_PREFIX, REPL_JOB_PREFIX))


def is_question(under_way: Sequence[Execute]) -> bool:
    """Tell whether QEMU answers these in no time, unless it is at work for somebody else."""
    return all(
        command.command.startswith(("query-", "x-debug-query-", "qom-", "job-dismiss", "__hmpshim_"))
        or str(command.arguments.get("command-line", "")).split()[:1] in (["info"], ["help"])
        for command in under_way
    )


def read_ram_bytes(memory: JSON) -> int | None:
    """Read an answer to `query-memory-size-summary`; None where it does not tell."""
    match memory:
        case {"base-memory": int(base), "plugged-memory": int(plugged)}:
            return base + plugged
        case {"base-memory": int(base)}:  # QEMU leaves the other out where nothing can be plugged
            return base
    return None


def state_bytes(graph: BlockGraph, work: Work) -> int | None:
    """Return how large the VM state of a load is, or that of the newest snapshot, as the next may be; None without one."""
    states = [row for node in graph.nodes.values() for row in node.snapshots if row.vm_state_size]
    if work.kind is Kind.LOAD:
        states = [row for row in states if row.name == work.tag]
    newest = max(states, key=lambda row: row.date_sec, default=None)
    return None if newest is None else newest.vm_state_size

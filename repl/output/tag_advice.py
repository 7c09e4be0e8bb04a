"""What a person wants to know about a tag that no disk has, or about one that QEMU or the plan made up."""

import contextlib
import re
from dataclasses import dataclass
from datetime import datetime

from repl.completion_data import read_tags
from repl.errors import LostError
from repl.executor import Executor
from shim.hmp import render
from shim.hmp.line import DelVM, HMPLine, LoadVM
from shim.hmp.quoting import quote_tag
from shim.nearest import nearest
from shim.plans.plan import Refusal
from shim.printable import harmless

__all__ = ["MissingTag", "made_tag", "missing_tag"]

_MOST_TAGS = 3
# QEMU's own form (migration/savevm.c, save_snapshot), and the shim's.
_MADE = re.compile(r"vm-\d{14}")


@dataclass(frozen=True, slots=True)
class MissingTag:
    """A tag that no disk has. near: the tags that look like it. known: all tags, from newest to oldest."""

    command: LoadVM | DelVM
    near: tuple[str, ...]
    known: tuple[str, ...]

    @property
    def refusal(self) -> Refusal:
        """Return why the command is not run, for a load in HMP's words. HMP's delvm prints nothing in this case."""
        tag = self.command.tag
        if isinstance(self.command, LoadVM):
            told = f"Snapshot '{tag}' does not exist in one or more devices"
        else:
            told = f"no disk has a snapshot '{tag}'"
        return Refusal(render.error(told), "no disk has the tag")

    @property
    def corrected(self) -> str | None:
        """Return the command with the tag that was probably meant; None if that is unknown."""
        tag = quote_tag(self.near[0]) if self.near else None
        name = "loadvm" if isinstance(self.command, LoadVM) else "delvm"
        return None if tag is None else f"{name} {tag}"

    def __str__(self) -> str:
        told = f"no disk has '{self.command.tag}'"
        if self.near:
            told += f"; did you mean {' or '.join(map(repr, self.near))}?"
        elif self.known:
            told += f"; the newest tags: {', '.join(map(repr, self.known[:_MOST_TAGS]))};"
        else:
            return harmless(f"{told}; there is no snapshot")
        return harmless(f"{told} 'info snapshots' lists all")


async def missing_tag(executor: Executor, line: HMPLine) -> MissingTag | None:
    """Return the tag of a load or a deletion that no disk has; None if some disk has it. Raises LostError.

    None also if QEMU has another error to report, because no disk can hold a snapshot, or if it does not describe its disks.
    """
    command = line.command
    if not isinstance(command, LoadVM | DelVM):
        return None
    graph = await executor.block_graph()
    if graph is None or not any(graph.can_snapshot(node) for node in graph.nodes.values()):
        return None
    known = tuple(named.name for named in read_tags(graph, datetime.fromtimestamp))
    if command.tag in known:
        return None
    return MissingTag(command, tuple(nearest(command.tag, known, most=_MOST_TAGS)), known)


async def made_tag(executor: Executor) -> str | None:
    """Return the newest tag of the form that a `savevm` without a tag makes; None if there is none, or nobody to ask."""
    with contextlib.suppress(LostError):
        graph = await executor.block_graph()
        tags = () if graph is None else read_tags(graph, datetime.fromtimestamp)
        return next((named.name for named in tags if _MADE.fullmatch(named.name)), None)
    return None

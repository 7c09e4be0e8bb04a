"""What to change next: an order of small steps from HMP to QMP.

A step replaces one HMP command in one program, wherever that runs: this is one change to one source, which one team can make,
review and roll out. Replacing one command in all programs would be work for as many teams as there are programs, and none of
these programs would be done afterwards.

The order is worked out step by step. First comes what makes the most tools modern, because it is the last command that they
still use; then what removes the most HMP commands per week; then the order of names. So each step assumes those before it.
Commands without an equivalent in QMP, or that no table knows, come last: they cannot be replaced, only dropped.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from audit.reporting.ready import Ready
from audit.reporting.report import CommandUse, Tool, ToolUse
from audit.reporting.wording import counted
from shim.hmp.replacements import Replacement

__all__ = ["Change", "next_changes"]


@dataclass(frozen=True, slots=True)
class Change:
    """One step. name: the program's. tools: those that use the command, one for each place and user of the program.

    count, per_week: the HMP commands that it removes. modern: which tools use no HMP any more after it and all steps before it.
    ready: what to send instead, as the latest example has it. hosts: those that the tools were seen on. paths: of the program,
    as ToolUse has them.
    """

    name: str
    command: str
    replacement: Replacement | None
    tools: tuple[Tool, ...]
    count: int
    per_week: float
    modern: tuple[Tool, ...]
    last: str
    ready: Ready | None
    hosts: tuple[str, ...]
    paths: tuple[str, ...] = ()

    @property
    def can_be_replaced(self) -> bool:
        return self.replacement is not None and self.replacement.commands != ()

    @property
    def instead(self) -> str:
        """Return what to use instead."""
        if self.replacement is None:
            return "not an HMP command known here"
        return f"QMP: {self.replacement}" if self.can_be_replaced else str(self.replacement)

    @property
    def effect(self) -> str:
        """Return the effect of the step, in words."""
        removed = f"removes {self.per_week:,.1f} HMP commands a week"
        return f"{removed} and makes {counted(len(self.modern), 'tool')} modern" if self.modern else removed


def next_changes(tools: Sequence[ToolUse], weeks: float) -> tuple[Change, ...]:
    """Return all steps, in order. weeks: the length of the log. Quiet commands need no step."""
    found: dict[str, _Program] = {}
    for use in tools:
        live = [command for command in use.commands if command.is_hmp and not command.is_quiet]
        if live:
            found.setdefault(use.tool.name, _Program(use.tool.name)).add(use, live)
    return tuple(_in_order(list(found.values()), weeks))


class _Program:
    """One program, with what its tools still use. uses: by command, then by tool."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.uses: dict[str, dict[Tool, CommandUse]] = {}
        self._seen: dict[Tool, ToolUse] = {}
        self._left: dict[Tool, set[str]] = {}

    def add(self, use: ToolUse, commands: Sequence[CommandUse]) -> None:
        self._seen[use.tool] = use
        self._left[use.tool] = {command.name for command in commands}
        for command in commands:
            self.uses.setdefault(command.name, {})[use.tool] = command

    def hosts(self, command: str) -> tuple[str, ...]:
        """Return where the tools that use it were seen."""
        return tuple(dict.fromkeys(host for tool in self.uses[command] for host in self._seen[tool].hosts))

    def paths(self, command: str) -> tuple[str, ...]:
        """Return where the program is of the tools that use it."""
        return tuple(dict.fromkeys(path for tool in self.uses[command] for path in self._seen[tool].paths))

    def made_modern(self, command: str) -> tuple[Tool, ...]:
        """Return the tools whose last HMP command this is."""
        return tuple(tool for tool in self.uses[command] if self._left[tool] == {command})

    def take(self, command: str) -> Iterator[str]:
        """Remove a command, and yield the commands that are now the last one of a tool."""
        for tool in self.uses[command]:
            left = self._left[tool]
            left.remove(command)
            if len(left) == 1:
                yield from left


def _in_order(programs: Sequence[_Program], weeks: float) -> Iterator[Change]:
    waiting = [(_key(program, command, weeks), place) for place, program in enumerate(programs) for command in program.uses]
    heapq.heapify(waiting)
    taken: set[tuple[int, str]] = set()
    while waiting:
        (*_, command), place = heapq.heappop(waiting)
        program = programs[place]
        if (place, command) in taken:
            continue
        taken.add((place, command))
        yield _change(program, command, weeks)
        # Such a command moves forward. Its old entry stays in the heap, and is skipped because it has been taken by then.
        for last in dict.fromkeys(program.take(command)):
            heapq.heappush(waiting, (_key(program, last, weeks), place))


def _key(program: _Program, command: str, weeks: float) -> tuple[bool, int, int, str, str]:
    change = _change(program, command, weeks)
    return (not change.can_be_replaced, -len(change.modern), -change.count, program.name, command)


def _change(program: _Program, command: str, weeks: float) -> Change:
    uses = program.uses[command]
    count = sum(use.count for use in uses.values())
    newest = max(uses.values(), key=lambda use: (use.ready is not None, use.last))
    return Change(
        *(program.name, command, newest.replacement, tuple(uses), count, round(count / weeks, 1)),
        *(program.made_modern(command), max(use.last for use in uses.values()), newest.ready, program.hosts(command)),
        program.paths(command),
    )

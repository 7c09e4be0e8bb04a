"""What the prompt knows about the live VM, kept current by queries in the background, for which typing never waits."""

import asyncio
import contextlib
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from repl.completing.answers import Answers
from repl.completing.schema import Schema
from repl.completion_data import CompletionData, parse_help, read_drives, read_nodes, read_peripherals, read_schema, read_tags
from repl.errors import LostError
from repl.executor import Executor
from repl.progress.work import read_ram_bytes
from shim.errors import UnreadableReply
from shim.graph.blockgraph import BlockGraph
from shim.hmp.line import HMPLine
from shim.qmp import Execute, Reply, ReturnReply, reply_members
from shim.records.audit import Action

__all__ = ["VMCache"]

_FRESH_S = 1.0
_QUESTIONS = (
    Execute("query-status"),
    Execute("qom-list", {"path": "/machine/peripheral"}),
    Execute("query-memory-size-summary"),
)
_HOUSEKEEPING = "asked by the prompt, for what it suggests"


class VMCache:
    """CompletionData for completion, and the numbers of the toolbar.

    on_change: called after each change. If the connection is lost or a reply cannot be read, what was known stays.
    """

    def __init__(self, executor: Executor, *, on_change: Callable[[], None]) -> None:
        self.facts = CompletionData()
        self._run_state: str | None = None
        # How often an event has set the run state.
        self._times_told = 0
        self.snapshot_count: int | None = None
        # What is queried only when somebody types something that needs it.
        self.answers = Answers(executor, on_change=on_change)
        # What the progress of a save or load is measured against.
        self.graph: BlockGraph | None = None
        self.ram_bytes: int | None = None
        self._executor = executor
        self._on_change = on_change
        self._refresh_task: asyncio.Task[None] | None = None
        self._is_stale = False
        self._looked_at_s = -math.inf

    @property
    def is_fresh(self) -> bool:
        """Return whether the last look was a moment ago, and no other one is under way."""
        is_looking = self._refresh_task is not None and not self._refresh_task.done()
        return not is_looking and asyncio.get_running_loop().time() - self._looked_at_s < _FRESH_S

    def load_soon(self, tasks: asyncio.TaskGroup) -> None:
        """Query in the background what any line may need, beginning with what a person sees first."""
        self.answers.forget()
        tasks.create_task(self._load())

    async def _load(self) -> None:
        with contextlib.suppress(LostError, UnreadableReply):
            await self._look()
            await self._load_commands()
            await self._load_schema()

    def refresh(self) -> asyncio.Task[None]:
        """Look at the VM again in the background; return the task. A call while one runs makes it look once more at its end."""
        if self._refresh_task is None or self._refresh_task.done():
            self._refresh_task = asyncio.create_task(self._refresh())
        else:
            self._is_stale = True
        return self._refresh_task

    async def close(self) -> None:
        """Cancel all queries in the background."""
        await self.answers.close()
        if self._refresh_task is not None:
            self._refresh_task.cancel()
            await asyncio.wait([self._refresh_task])

    async def _refresh(self) -> None:
        with contextlib.suppress(LostError, UnreadableReply):
            await self._look()
            while self._is_stale:
                self._is_stale = False
                await self._look()

    @property
    def run_state(self) -> str | None:
        """QEMU's RunState; None before it is known. Whoever receives an event that changes it sets it."""
        return self._run_state

    @run_state.setter
    def run_state(self, state: str | None) -> None:
        self._run_state = state
        self._times_told += 1

    async def _look(self) -> None:
        graph = await self._executor.block_graph()
        times_told = self._times_told
        status, peripherals, memory = await self._ask(*_QUESTIONS)
        if graph is not None:
            self._take_graph(graph)
        # If an event has set the run state meanwhile, it is more recent than this reply.
        if isinstance(status, ReturnReply) and self._times_told == times_told:
            self._run_state = status.value["status"]
        if isinstance(peripherals, ReturnReply):
            self.facts = replace(self.facts, qdev_ids=read_peripherals(peripherals.value))
        if isinstance(memory, ReturnReply):
            self.ram_bytes = read_ram_bytes(memory.value)
        self._looked_at_s = asyncio.get_running_loop().time()
        self._on_change()

    def _take_graph(self, graph: BlockGraph) -> None:
        tags = read_tags(graph, datetime.fromtimestamp)
        self.facts = replace(self.facts, tags=tags, drives=read_drives(graph), nodes=read_nodes(graph))
        self.snapshot_count = len(tags)
        self.graph = graph

    async def _load_commands(self) -> None:
        commands, topics = map(_text, await self._ask_help("help", "help info"))
        self.facts = replace(self.facts, commands=parse_help(commands), topics=parse_help(topics, prefix="info"))
        self._on_change()

    async def _load_schema(self) -> None:
        (schema,) = await self._ask(Execute("query-qmp-schema"))
        if isinstance(schema, ReturnReply):
            qmp_commands, events = read_schema(schema.value)
            self.facts = replace(self.facts, qmp_commands=qmp_commands, events=events, schema=Schema(schema.value))
        self._on_change()

    async def _ask_help(self, *lines: str) -> list[Reply]:
        """Ask HMP for help, in one write, and record that as our own question."""
        traces = [self._executor.recorder.trace(HMPLine.read(line)) for line in lines]
        replies = await self._ask(*(Execute("human-monitor-command", {"command-line": line}) for line in lines))
        for trace, reply in zip(traces, replies, strict=True):
            self._executor.recorder.record(trace, Action.PASSED, _HOUSEKEEPING, reply_members(reply))
        return replies

    async def _ask(self, *commands: Execute) -> list[Reply]:
        return [timed.reply for timed in await self._executor.link.execute(commands)]


def _text(reply: Reply) -> str:
    return reply.value if isinstance(reply, ReturnReply) and isinstance(reply.value, str) else ""

"""A command under the eyes of a person: its progress, Ctrl-C, and what becomes of it when nobody waits any more."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from repl.errors import LinkError, LostError, NotConnectedError
from repl.executor import Executor
from repl.output.layout import Fragments, side_by_side
from repl.output.show import duration_text
from repl.progress.meter import Meter
from repl.progress.others import Others
from repl.prompt.terminal import Terminal
from repl.vm_cache import VMCache
from shim.printable import harmless

__all__ = ["Foreground", "GivenUpError"]

# A command that is done sooner shows no progress: it would only flicker.
_PROGRESS_AFTER_NS = 200_000_000
_T = TypeVar("_T")


class GivenUpError(Exception):
    """The person thought better of it; nothing was done."""


class Foreground:
    """Run commands one after the other while they are watched. Call `finish` at the end.

    tasks: where commands are kept, also those that are left to themselves.
    ready: waited for before a command begins. toolbar: what is shown below the progress. meter, others: tell how far the
    command is, or whom it waits for.
    """

    def __init__(
        self,
        terminal: Terminal,
        executor: Executor,
        knowledge: VMCache,
        tasks: asyncio.TaskGroup,
        *,
        ready: Callable[[], Awaitable[None]],
        toolbar: Callable[[], Fragments],
        meter: Meter,
        others: Others,
    ) -> None:
        self._terminal = terminal
        self._executor = executor
        self._knowledge = knowledge
        self._tasks = tasks
        self._ready = ready
        self._toolbar = toolbar
        self._meter = meter
        self._others = others
        # Commands that go on although nobody waits for them.
        self._left: set[asyncio.Task[Any]] = set()

    def is_left(self, task: asyncio.Task[Any] | None) -> bool:
        """Tell whether nobody waits for this command any more."""
        return task in self._left

    async def look(self, looking: Coroutine[Any, Any, _T], line: str) -> _T:
        """Wait for what changes nothing. Raises GivenUpError on Ctrl-C, and LostError."""
        task = asyncio.ensure_future(self._when_ready(looking))
        try:
            if await self._terminal.watch(task, self._progress_of(line), self._toolbar):
                return task.result()
        finally:
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # what came of it is of no interest any more
        raise GivenUpError

    async def stand_by(self, task: asyncio.Task[Any], text: Callable[[], Fragments]) -> bool:
        """Show a text as it changes until a task ends (True), or until Ctrl-C (False), which does not end the task."""
        return await self._terminal.watch(task, text, self._toolbar)

    async def run(self, command: Coroutine[Any, Any, bool], line: str, *, ends_vm: bool = False) -> bool:
        """Run a command while its progress is shown. Ctrl-C leaves it to itself, and its end is told above the prompt.

        ends_vm: the connection is lost by it. False if it failed, or was left.
        """
        self._meter.prepare(line)
        task = self._tasks.create_task(self._told(command, line, ends_vm=ends_vm))
        if await self._terminal.watch(task, self._progress_of(line), self._toolbar) or task.done():
            return task.result()
        self._terminal.notice(f"{harmless(line)} goes on in QEMU; its end will be reported here")
        self._left.add(task)
        task.add_done_callback(self._left.discard)
        return False

    async def finish(self) -> None:
        """See to their end the commands that were left: a snapshot job that nobody dismisses would stay in QEMU."""
        while self._left and self._executor.link.is_connected:
            left = next(iter(self._left))  # it may be gone from there before its turn to be watched
            running = self._executor.running
            name = "a command" if running is None else harmless(running.command_line.strip())
            self._terminal.notice(f"leaving when {name} is done")
            await self._terminal.drain()
            if not await self._terminal.watch(left, self._progress_of(name), self._toolbar) and not left.done():
                self._terminal.notice(f"left; {name} goes on in QEMU")
                break
        for task in self._left:
            task.cancel()

    async def _told(self, command: Coroutine[Any, Any, bool], line: str, *, ends_vm: bool) -> bool:
        try:
            return await self._when_ready(command)
        except NotConnectedError as exc:
            self._terminal.error(f"{exc}; 'reconnect' connects again")
            return False
        except LostError as exc:
            if ends_vm:
                return True
            self._terminal.error(f"{exc}; what became of '{harmless(line)}' is not known")
            return False
        except LinkError as exc:  # a proxy that is not understood
            self._terminal.error(str(exc))
            return False

    async def _when_ready(self, work: Coroutine[Any, Any, _T]) -> _T:
        try:
            await self._ready()
            return await work
        finally:
            work.close()

    def _progress_of(self, line: str) -> Callable[[], Fragments]:
        started_ns = time.monotonic_ns()
        first_look_ns: int | None = None

        def progress() -> Fragments:
            nonlocal first_look_ns
            now_ns = time.monotonic_ns()
            # On a busy machine the first look may come late, and the command be done with the next turn of the loop.
            first_look_ns = now_ns if first_look_ns is None else first_look_ns
            return self._progress(line, now_ns - started_ns) if now_ns - first_look_ns >= _PROGRESS_AFTER_NS else []

        return progress

    def _progress(self, line: str, elapsed_ns: int) -> Fragments:
        pieces = [("class:progress", harmless(line)), ("", duration_text(elapsed_ns))]
        running = self._executor.running
        if running is not None and not line.startswith(running.command_line.strip()):
            pieces.append(("", f"behind {harmless(running.command_line.strip())}"))
        pieces.append(("class:notice", self._how_it_stands()))
        if self._knowledge.run_state is not None:
            pieces.append(("", self._knowledge.run_state))
        stopped_ns = self._executor.stopped_ns
        if stopped_ns:
            pieces.append(("class:notice", f"the VM stands still for {duration_text(stopped_ns)}"))
        return side_by_side([*pieces, ("", "(Ctrl-C: do not wait)")], width=self._terminal.columns)

    def _how_it_stands(self) -> str:
        """Return whom the command under way waits for, or how far it is itself."""
        running = self._executor.running
        waits = self._others.text(self._executor.link.owed.silence, running)
        if not waits:
            return self._meter.text(running)
        self._meter.forget()
        return waits

"""A command that a person waits for: its progress, Ctrl-C, and what happens to it when the person stops waiting."""

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

# A command that is done sooner than this shows no progress, which would only flicker.
_PROGRESS_AFTER_NS = 200_000_000
_T = TypeVar("_T")


class GivenUpError(Exception):
    """The person has given up; nothing was done."""


class Foreground:
    """Runs commands one after the other while a person watches. Call `finish` at the end.

    tasks: for the commands, including those that nobody waits for any more. ready: awaited before a command begins. toolbar:
    returns what is shown below the progress. meter, others: say how far the command is, or whom it waits for.
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
        # Commands that go on although nobody waits for them any more.
        self._left: set[asyncio.Task[Any]] = set()

    def is_left(self, task: asyncio.Task[Any] | None) -> bool:
        """Return whether nobody waits for this command any more."""
        return task in self._left

    async def look(self, looking: Coroutine[Any, Any, _T], line: str) -> _T:
        """Wait for something that changes nothing, and cancel it on Ctrl-C. Raises GivenUpError on Ctrl-C, and LostError."""
        task = asyncio.ensure_future(self._when_ready(looking))
        try:
            if await self._terminal.watch(task, self._progress_of(line), self._toolbar):
                return task.result()
        finally:
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it; nobody needs the result any more
        raise GivenUpError

    async def stand_by(self, task: asyncio.Task[Any], text: Callable[[], Fragments]) -> bool:
        """Show a changing text until a task ends (True), or until Ctrl-C (False), which does not end the task."""
        return await self._terminal.watch(task, text, self._toolbar)

    async def run(self, command: Coroutine[Any, Any, bool], line: str, *, ends_vm: bool = False) -> bool:
        """Run a command and show its progress. On Ctrl-C it goes on in the background, and its end is shown above the prompt.

        ends_vm: the command ends QEMU, so losing the connection is a success. Returns False if it failed, or goes on.
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
        """See the commands in the background to their end, because a snapshot job that nobody dismisses would stay in QEMU."""
        while self._left and self._executor.link.is_connected:
            left = next(iter(self._left))  # it may be done, and removed, before it is watched
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
        except LinkError as exc:  # a proxy whose answer is not understood
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
            # Counted from the first call: on a busy machine that may come late, with the command done in the next loop
            # iteration.
            first_look_ns = now_ns if first_look_ns is None else first_look_ns
            return self._progress(line, now_ns - started_ns) if now_ns - first_look_ns >= _PROGRESS_AFTER_NS else []

        return progress

    def _progress(self, line: str, elapsed_ns: int) -> Fragments:
        pieces = [("class:progress", harmless(line)), ("", duration_text(elapsed_ns))]
        running = self._executor.running
        if running is not None and not line.startswith(running.command_line.strip()):
            pieces.append(("", f"behind {harmless(running.command_line.strip())}"))
        pieces.append(("class:notice", self._how_it_stands()))
        pieces += [("class:notice", stopped) for stopped in self._others.stopped]
        if self._knowledge.run_state is not None:
            pieces.append(("", self._knowledge.run_state))
        stopped_ns = self._executor.stopped_ns
        if stopped_ns:
            pieces.append(("class:notice", f"the VM stands still for {duration_text(stopped_ns)}"))
        return side_by_side([*pieces, ("", "(Ctrl-C: do not wait)")], width=self._terminal.columns)

    def _how_it_stands(self) -> str:
        """Return whom the command under way waits for or, if it runs itself, how far it is."""
        running = self._executor.running
        waits = self._others.text(self._executor.link.owed.silence, running)
        if not waits:
            return self._meter.text(running)
        self._meter.forget()
        return waits

"""From the end of a command to the person: what it printed, where that goes, and how long it took.

The person may stop waiting for a command at any moment, with Ctrl-C, and then it must not take the terminal. So a command shows
nothing itself: its last step is `end`, which checks whether somebody still waits. If so, `run` delivers the output when the
command is over; otherwise `end` shows it above whatever the person is doing by then.
"""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from repl.outlets.redirection import Outlet
from repl.output.layout import Fragments
from repl.output.printed import Printed
from repl.output.show import timing_text
from repl.prompt.foreground import Foreground
from repl.prompt.reading.delivery import Delivery
from repl.prompt.terminal import Terminal

__all__ = ["Ended", "Readout"]


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended. end: what is said of that, where the command itself prints nothing, or nobody waited.

    hint: what is said besides, to whoever is there.
    """

    printed: Printed
    is_failure: bool
    duration_ns: int
    end: Fragments = field(default_factory=list)
    tells_end: bool = False
    hint: Fragments = field(default_factory=list)


class Readout:
    """Call `run` with a command that calls `end` as its last step, or `look` with one that changes nothing."""

    def __init__(self, terminal: Terminal, watch: Foreground) -> None:
        self.delivery = Delivery(terminal, watch)
        self._terminal = terminal
        self._watch = watch
        # The result of a command that somebody waited for, which is still to be delivered.
        self._due: Ended | None = None

    async def look(self, looking: Coroutine[Any, Any, Printed], outlet: Outlet | None, line: str) -> bool:
        """Deliver what a look returns. Return False if that failed. Raises as Foreground.look does."""
        started_ns = time.monotonic_ns()
        printed = await self._watch.look(looking, line)
        return await self._tell(Ended(printed, False, time.monotonic_ns() - started_ns), outlet, line)

    async def run(self, command: Coroutine[Any, Any, bool], outlet: Outlet | None, line: str, *, ends_vm: bool = False) -> bool:
        """Run a command and deliver its output. Return False if one of these failed, or if nobody waits any more.

        ends_vm: as for Foreground.run.
        """
        is_well = await self._watch.run(command, line, ends_vm=ends_vm)
        due, self._due = self._due, None
        return is_well if due is None else await self._tell(due, outlet, line)

    async def end(self, ended: Ended, outlet: Outlet | None) -> bool:
        """End a command; return False if it failed. If somebody waits, there is no await between the check and the return."""
        if not self._watch.is_left(asyncio.current_task()):
            self._due = ended
            return not ended.is_failure
        told, is_well = ended.printed.shown, False
        if not ended.is_failure:
            told, is_well = await self.delivery.behind(ended.printed, outlet)
        self._terminal.show([*told, *ended.end, *ended.hint])
        return is_well

    async def _tell(self, ended: Ended, outlet: Outlet | None, line: str) -> bool:
        is_well = not ended.is_failure
        if is_well:
            is_well = await self.delivery.deliver(ended.printed, outlet, line)
        else:  # an error is for the person; it does not go to a file or a shell command
            self._terminal.show(ended.printed.shown)
        if ended.tells_end:
            self._terminal.show(ended.end)
        elif self._terminal.is_timed:
            self._terminal.show(timing_text(ended.duration_ns))
        if ended.hint:
            self._terminal.show(ended.hint)
        return is_well

"""Play a plan, or the decision about a command, on the prompt's connection, one at a time and to its end."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from host.intents import IntentStore
from repl.link import Link
from repl.recorder import Recorder
from shim.decisions.plan_run import PlanRun
from shim.plans.plan import Intend
from shim.qmp import Execute

__all__ = ["PlanDriver"]

# A job concludes before its command is answered (seen in QEMU 7.2 to 11.1); if one does not, it is queried this often.
_POLL_S = 0.5


class PlanDriver:
    """Plays plans on one link. Call `note_concluded` when an event says that a job has concluded.

    recorder, intents: where to write what must be written before a plan goes on. on_failure: called with each failure of ours.
    """

    def __init__(self, link: Link, recorder: Recorder, intents: IntentStore, on_failure: Callable[[Exception], None]) -> None:
        self._link = link
        self._recorder = recorder
        self._intents = intents
        self._on_failure = on_failure
        self._job_concluded = asyncio.Event()
        self._under_way: tuple[Execute, ...] = ()

    def under_way(self) -> Sequence[Execute]:
        """Return the commands that were last sent for the plan being played; () if there are none."""
        return self._under_way

    def note_concluded(self) -> None:
        self._job_concluded.set()

    async def play(self, run: PlanRun, own: Callable[[], Execute] | None = None) -> Any:
        """Play to the end and return the outcome. Raises LostError.

        own: returns the client's own command for QEMU, in case the plan passes it. A failure of ours is reported to on_failure
        and contained in the run.
        """
        try:
            await self._play(run, own)
        finally:
            self._under_way = ()
            self._forget(run)
            if run.failure is not None:
                self._on_failure(run.failure)
        return run.outcome

    async def _play(self, run: PlanRun, own: Callable[[], Execute] | None) -> None:
        commands = run.advance(None, time.monotonic_ns())
        while not run.is_done:
            self._forget(run)
            if run.awaited_job is not None:
                await self._wait_for_job()
                commands = run.advance((), time.monotonic_ns())
            elif run.to_note is not None:
                commands = run.noted(self._write_down(run), time.monotonic_ns())
            elif run.passing is not None and own is not None:
                self._under_way = (own(),)
                (answer,) = await self._link.execute(self._under_way)
                run.advance((answer.reply,), answer.received_ns)
            else:
                commands = await self._ask(run, commands)

    def _forget(self, run: PlanRun) -> None:
        """Forget the intents that the plan has settled."""
        for settled in run.settled:
            self._intents.note(settled)
        run.settled.clear()

    def _write_down(self, run: PlanRun) -> str | None:
        """Write what must be written before the plan goes on; return why the command cannot be put on record, else None."""
        if isinstance(run.to_note, Intend):
            self._intents.note(run.to_note)
            return None
        return self._recorder.announce(run.trace)

    async def _ask(self, run: PlanRun, commands: tuple[Execute, ...]) -> tuple[Execute, ...]:
        self._job_concluded.clear()
        self._under_way = commands
        try:
            answers, loss = await self._link.attempt(commands)
        except asyncio.CancelledError:
            run.lose(time.monotonic_ns())
            raise
        further: tuple[Execute, ...] = ()
        for answer in answers:
            further = run.receive_reply(answer.reply, answer.size_bytes, answer.received_ns)
        if loss is not None:
            run.lose(time.monotonic_ns())
            raise loss
        return further

    async def _wait_for_job(self) -> None:
        try:
            async with asyncio.timeout(_POLL_S):
                await self._job_concluded.wait()
        except TimeoutError:
            return

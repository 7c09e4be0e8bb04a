"""The old process: it hands over each of its VMs when nothing of that VM is under way, and ends when all are gone.

A VM that cannot be handed over stays, and is tried again, less and less often: a client with TLS or at HMP's prompt may leave.
The log and `hmp-proxy status` say why it stays.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from typing import TYPE_CHECKING, Final

from host.log_lines import about_vm
from host.settings.config import VMConfig
from proxy.fleet.successor import GivenVM, Successor
from proxy.handover.channel import Channel, close_all
from proxy.handover.format import FORMAT, written
from proxy.handover.settings import settings_of
from proxy.handover.standstill import GONE_MEANWHILE, Standstill, why_never
from shim.version import VERSION

if TYPE_CHECKING:
    from proxy.fleet.fleet import Fleet
    from proxy.fleet.supervision import SupervisedVM

__all__ = ["Giving"]

_log = logging.getLogger(__name__)

# Between two attempts; each may stall the tools for as long as a standstill may take.
_FIRST_PAUSE_S: Final = 0.05
_MOST_PAUSE_S: Final = 15.0
# How long the new process may take to answer.
_ANSWER_S: Final = 10.0
_MS_PER_S: Final = 1000
_LOOK_S: Final = 0.02


class Giving:
    """One conversation with a process that is to replace this one. Call `run` once.

    pid: of that process; None if unknown. on_given: called when it has a VM.
    """

    def __init__(self, channel: Channel, fleet: "Fleet", pid: int | None, on_given: Callable[[], object]) -> None:
        self._channel = channel
        self._successor = Successor(pid)
        self._fleet = fleet
        self._losses = fleet.audit_logs.losses
        self._on_given = on_given
        # One VM at a time, so that none is held still while the new process is busy with another.
        self._turn = asyncio.Lock()
        self._attempts = count(1)
        self._answers: dict[int, asyncio.Future[str | None]] = {}

    async def run(self) -> None:
        """Do what the new process asks, until it goes."""
        self._fleet.successor = successor = self._successor
        try:
            async with asyncio.timeout(_ANSWER_S):
                hello, numbers = await self._channel.receive()
                close_all(numbers)
                vms = {name: settings_of(vm.config) for name, vm in self._fleet.by_key.items()}
                await self._channel.send({"format": FORMAT, "version": VERSION, "vms": vms})
            successor.greet(str(hello.get("version", "of an unknown version")))
            _log.info("%s takes over; VMs: %d", successor.who, len(vms))
            async with asyncio.TaskGroup() as group:
                await self._converse(group)
        except* (EOFError, OSError, TimeoutError):
            pass
        except* ValueError as errors:
            _log.error("the process that was to take over is not understood: %s", errors.exceptions[0])
        finally:
            self._fleet.successor = None
        _log.warning("the process that was to take over has gone; VMs that stay here: %d", len(self._fleet.by_key))
        # It may have gone before all are handed over.
        await self._fleet.take_back([vm.config for vm in successor.given.values()])

    async def _converse(self, group: asyncio.TaskGroup) -> None:
        while True:
            message, numbers = await self._channel.receive()
            close_all(numbers)
            match message:
                case {"want": str(name)}:
                    group.create_task(self._give(name), name=f"give {name}")
                case {"end": str(name)}:
                    group.create_task(self._end(name), name=f"end {name}")
                case {"answer": int(attempt), "why_not": str() | None as why_not}:
                    if (answer := self._answers.pop(attempt, None)) is not None and not answer.done():
                        answer.set_result(why_not)
                case _:
                    raise ValueError(f"the process that takes over says {message!r:.100}")

    async def _end(self, name: str) -> None:
        config = None
        self._fleet.dismiss(name)
        while (vm := self._fleet.by_key.get(name)) is not None:
            config = vm.config
            await asyncio.sleep(_LOOK_S)
        await self._tell_ended(name, config)

    async def _tell_ended(self, name: str, config: VMConfig | None) -> None:
        """Say that a VM is not served here any more, and what was lost of its log. config: None if it has never been served."""
        lost = None if config is None or config.audit is None else self._losses.hand_over(config.audit.destination)
        try:
            await self._channel.send({"vm": name, "ended": True, "lost": [] if lost is None else [asdict(lost)]})
        except BaseException:
            if lost is not None:
                self._losses.take_back(lost)
            raise

    async def _give(self, name: str) -> None:
        """Hand a VM over as soon as possible."""
        pause_s, asked, config = _FIRST_PAUSE_S, self._successor.asked, None
        asked.setdefault(name, None)
        while (vm := self._fleet.by_key.get(name)) is not None:
            config = vm.config
            with about_vm(name):
                why_not = await self._try(name, vm)
            if why_not is None:
                return
            if why_not != asked[name]:
                asked[name] = why_not
                with about_vm(name):
                    _log.info("stays with the old process for now: %s", why_not)
                await self._channel.send({"vm": name, "stays": why_not})
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _MOST_PAUSE_S)
        await self._tell_ended(name, config)

    async def _try(self, name: str, vm: "SupervisedVM") -> str | None:
        """Try to hand a VM over. Return why that failed; None if it is done."""
        proxy = vm.proxy
        if (why := why_never(proxy)) is not None:
            return why
        assert proxy is not None, "why_never tells of that"
        still = Standstill(proxy)
        try:
            if (why := await still.no_plan()) is not None:
                return why
            async with self._turn:
                paused_s = asyncio.get_running_loop().time()
                why = await still.hold() or await self._offer(name, vm, still)
                if why is None:
                    _log.debug("stood still for %.0f ms", (asyncio.get_running_loop().time() - paused_s) * _MS_PER_S)
                return why
        finally:
            still.go_on()

    async def _offer(self, name: str, vm: "SupervisedVM", still: Standstill) -> str | None:
        """Offer a VM that is held still. Return why it was not handed over; None if it was."""
        attempt, given = next(self._attempts), GivenVM.of(vm)
        value, numbers = written(still.carried())
        answer = self._answers[attempt] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._channel.send({"vm": name, "attempt": attempt, "is": value}, numbers)
                why_not: str | None = await answer
        except TimeoutError:
            why_not = f"the new process has not answered within {_ANSWER_S:g} s"
        finally:
            self._answers.pop(attempt, None)
        if why_not is None and not still.is_as_carried:
            why_not = GONE_MEANWHILE
        if why_not is not None:
            await self._channel.send({"vm": name, "keeps": True, "attempt": attempt})
            return why_not
        self._successor.given[name] = given
        still.let_go()
        _log.info("handed over")
        await self._channel.send({"vm": name, "goes": True, "attempt": attempt})
        self._on_given()
        return None

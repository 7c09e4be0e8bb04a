"""Have a fleet follow the sockets that come and go: when to look for them, and what to do with what is found.

A change is found by a look soon after the kernel's hint (inotify.py), or by one every 10 s without a hint, because not every
change is reported; where hints are not available, by one every 2 s. The pauses between looks are long enough that looking takes
a twentieth of one core at most, whatever happens in the folders.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from operator import is_
from typing import TYPE_CHECKING, Final

from host.configuration.discover import Template
from host.settings.config import VMConfig
from proxy.beside import beside
from proxy.control.status import PatternStatus
from proxy.discovery.sockets import Connected, Sockets
from proxy.fleet.fleet import Fleet
from proxy.fleet.wish import Wish

if TYPE_CHECKING:
    from proxy.discovery.inotify import Inotify

__all__ = ["Discovery"]

_log = logging.getLogger(__name__)

_HINTED_EVERY_S: Final = 10.0
_UNHINTED_EVERY_S: Final = 2.0
# The pause between two looks: at least this, and at least this many times as long as the last look took.
_PAUSE_S: Final = 0.1
_PAUSE_LOOKS: Final = 20
# A folder may be on a disk that hangs.
_UNKNOWN: Final = ("the first look for sockets has not ended",)


class Discovery:
    """Call `run` in a task, `use` whenever the templates change, and `close` at the end.

    reading: the lock held by whoever changes what the fleet wants; its holder calls `look`. sockets: what was found so far, if
    anything. has_looked: set when the first look is done. patterns: their status at the last look.
    """

    def __init__(self, fleet: Fleet, reading: asyncio.Lock, sockets: Sockets) -> None:
        self._fleet = fleet
        self._reading = reading
        self._sockets = sockets
        self._templates: Sequence[Template] = ()
        self._static: Sequence[VMConfig] = ()
        self._last: list[VMConfig] = []
        self._hinted = asyncio.Event()
        self.has_looked = asyncio.Event()
        self.patterns: Sequence[PatternStatus] = ()
        self._inotify: Inotify | None = None
        self._begin_to_watch()

    def _begin_to_watch(self) -> None:
        try:
            from proxy.discovery.inotify import Inotify  # here, because some Pythons have no ctypes

            self._inotify = Inotify(self._hinted.set)
        except (ImportError, OSError) as exc:
            _log.warning("looking for sockets every %g s, as the kernel does not report new ones: %s", _UNHINTED_EVERY_S, exc)
            return
        self._inotify.start()
        self._sockets.watch = self._inotify.watch

    def use(self, templates: Sequence[Template], static: Sequence[VMConfig]) -> None:
        """Look for the sockets of these templates from now on, beside the VMs that the file names."""
        self._templates, self._static = templates, static
        if not self.has_looked.is_set():
            self.patterns = [PatternStatus(template.pattern.text, 0, _UNKNOWN) for template in templates]

    def close(self) -> None:
        """Stop watching. Call it when `run` has ended."""
        if self._inotify is not None:
            self._inotify.close()

    async def run(self) -> None:
        """Have the fleet follow until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            async with self._reading:
                begun_s = loop.time()
                try:
                    await self._follow()
                except Exception:
                    _log.exception("cannot look for sockets; trying again")
                took_s = loop.time() - begun_s
            self.has_looked.set()
            await asyncio.sleep(max(_PAUSE_S, _PAUSE_LOOKS * took_s))
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._next_s()):
                    await self._hinted.wait()
            # Before the look, so that a change during it leads to another one.
            self._hinted.clear()

    async def look(self) -> list[VMConfig]:
        """Return all VMs that are wanted now: those that the file names, and those that are found."""
        connected, now_s = self._connected(), asyncio.get_running_loop().time()
        self._last = await beside(partial(self._look, connected, now_s))
        self.patterns = self._sockets.status(self._templates)
        return [*self._static, *self._last]

    def _look(self, connected: Connected, now_s: float) -> list[VMConfig]:
        """Runs in a thread."""
        found = self._sockets.look(self._templates, self._static, connected, now_s)
        if self._inotify is not None:
            self._inotify.keep(self._sockets.folders)
        return found

    async def _follow(self) -> None:
        last, before, fleet = self._last, dict(self._fleet.wanted), self._fleet
        vms = await self.look()
        is_same = len(last) == len(self._last) and all(map(is_, last, self._last))
        # A VM may have ended by itself, since it is to end with its QEMU, and that QEMU is there again.
        if not is_same or any(vm.shown_name not in before for vm in self._last):
            wish = partial(Wish.of, vms, before, forgives=fleet.forgives, is_of_file=False, why_gone="its socket has gone")
            await fleet.want(await beside(wish))

    def _connected(self) -> Connected:
        running = {path: self._fleet.running(key) for key, path in self._sockets.paths().items()}
        served = {path for path, vm in running.items() if vm is not None and vm.is_connected}
        held = {path for path, vm in running.items() if path not in served and vm is not None and vm.holds_path}
        return Connected(frozenset(served), frozenset(held))

    def _next_s(self) -> float:
        """Return when to look again without a hint."""
        every_s = _UNHINTED_EVERY_S if self._inotify is None else _HINTED_EVERY_S
        regular_s = asyncio.get_running_loop().time() + every_s
        due_s = self._sockets.due_s()
        return regular_s if due_s is None else min(regular_s, due_s)

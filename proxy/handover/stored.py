"""The new process: it goes on with the VMs that the service manager has kept, and ends those that it cannot go on with.

It is the counterpart of proxy/handover/taking.py, with no other process to ask: the old one has ended, so nobody goes on with a
VM that is not taken up here.
"""

import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from host.audit_log.losses import LossesByLog
from host.log_lines import about_vm
from host.net.addresses import parse_taken_path
from host.settings.config import VMConfig
from proxy.entrance.takeover import TakeOver
from proxy.handover.channel import close_all
from proxy.handover.format import CarriedVM, read, why_unreadable
from proxy.handover.legacy import Legacy
from proxy.handover.parcel import unpack
from proxy.handover.settings import differences, settings_of
from proxy.handover.storing import stored_name
from shim.qmp import JSON

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.fleet.service_manager import ServiceManager

__all__ = ["Stored"]

_log = logging.getLogger(__name__)

_NOT_WANTED: Final = "it is not in the configuration any more"


@dataclass(frozen=True, slots=True)
class _Kept:
    """A VM that was taken out of the store. Its descriptors must be closed."""

    name: str
    vm: CarriedVM
    numbers: list[int]
    settings: dict[str, JSON]


class Stored:
    """The VMs that the service manager has kept. numbers: the stored descriptors, by name. losses: of the audit logs here."""

    def __init__(self, numbers: Mapping[str, int], manager: "ServiceManager", losses: LossesByLog) -> None:
        self._numbers = dict(numbers)
        self._manager = manager
        self._losses = losses

    def serves(self, name: str) -> bool:
        """Return False: the process that served the VMs has ended."""
        return False

    async def claim(self, config: VMConfig, on_waiting: "Callable[[], object]") -> Legacy | None:
        """Return a stored VM; None if there is none of that name, or it has to start afresh."""
        stored = stored_name(config.shown_name)
        if stored not in self._numbers or (kept := await self._take(stored)) is None:
            return None
        if others := differences(settings_of(config), kept.settings):
            await self._end(stored, kept, f"these settings have changed: {', '.join(others)}")
            return None
        return Legacy(kept.vm, kept.numbers, partial(self._settle, stored, kept))

    async def end_others(self, wanted: Collection[str]) -> None:
        """End in order all stored VMs except these."""
        for stored in self._numbers.keys() - set(map(stored_name, wanted)):
            if (kept := await self._take(stored)) is not None:
                await self._end(stored, kept, _NOT_WANTED)

    async def _take(self, stored: str) -> _Kept | None:
        """Take one VM out of the store, which can be done once. Return None, with its descriptors closed, if it cannot be
        read."""
        number = self._numbers.pop(stored)
        try:
            message, numbers = unpack(number)
        except ValueError as exc:
            await self._lose(stored, str(exc))
            return None
        try:
            if (why := why_unreadable(message)) is not None:
                raise ValueError(why)
            name, settings = str(message["vm"]), dict(message["settings"])
            return _Kept(name, read(message["is"], numbers, message["format"]), numbers, settings)
        except (ValueError, KeyError, TypeError) as exc:
            close_all(numbers)
            await self._lose(str(message.get("vm", stored)), str(exc), stored)
            return None

    async def _lose(self, name: str, why: str, stored: str | None = None) -> None:
        with about_vm(name):
            _log.error("begins anew, as what the service manager has kept of it cannot be used: %s", why)
        await self._discard(stored or name)

    async def _settle(self, stored: str, kept: _Kept, why_not: str | None) -> bool:
        """Have the manager stop keeping the VM, before a byte of it is read. Return whether we can take it up."""
        if why_not is not None:
            with about_vm(kept.name):
                _log.error("its connections end, as it cannot be taken over: %s", why_not)
            self._losses.take_over(kept.vm.lost)
            _put_back(kept)
        await self._discard(stored)
        return why_not is None

    async def _end(self, stored: str, kept: _Kept, why: str) -> None:
        """Do what the previous process would have done to end the VM."""
        with about_vm(kept.name):
            _log.warning("its connections end: %s", why)
        self._losses.take_over(kept.vm.lost)
        close_all(kept.numbers)
        _put_back(kept)
        await self._discard(stored)

    async def _discard(self, stored: str) -> None:
        try:
            await self._manager.discard(stored)
        except OSError as exc:  # a parcel that it passes on again is empty
            _log.warning("cannot tell the service manager what it no longer needs to keep: %s", exc.strerror)

    def close(self) -> None:
        """Close our copies of what nobody has claimed: the manager still has them, for the next process that it starts."""
        for number in self._numbers.values():
            os.close(number)
        self._numbers.clear()


def _put_back(kept: _Kept) -> None:
    """Remove the files of the VM's listeners, and put QEMU's socket back in its place."""
    front = kept.vm.front
    for one in (one for opened in front.listeners.values() for one in opened):
        if one.file is not None:
            one.file.remove()
    if front.path is not None:
        path = TakeOver(parse_taken_path(str(kept.settings["take_over"])))
        path.take_up(front.path)
        path.give_back()

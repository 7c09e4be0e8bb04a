"""The process that takes over the VMs of this one: since when, what it has by now, and what it waits for."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import proxy.relaying.looking  # noqa: F401 - by the time a VM's status is needed, the installed package may be the new one
from host.settings.config import VMConfig
from proxy.control.replacement import ReplacementStatus
from proxy.control.status import State, VMStatus
from proxy.fleet.fleet import Fleet
from proxy.fleet.supervision import SupervisedVM
from proxy.relaying.lasting import Standing
from proxy.relaying.quiet import PAUSED
from shim.printable import natural

__all__ = ["GivenVM", "Successor", "known_vms", "replacement_of"]


@dataclass(frozen=True, slots=True)
class GivenVM:
    """A VM that was handed over. last: its status at that moment, without what only its new process knows from then on."""

    config: VMConfig
    last: VMStatus
    standing: Standing

    @classmethod
    def of(cls, vm: SupervisedVM) -> Self:
        """Return what is remembered of a VM that is about to be handed over. Call it in the running loop."""
        status = vm.status()
        totals = replace(
            status.totals,
            clients=0,
            waiting=0,
            queued_for_clients_bytes=0,
            queued_from_clients_bytes=0,
            queued_for_qemu_bytes=0,
            records_queued=0,
        )
        last = replace(
            status,
            state=State.HANDED_OVER,
            problem=None,
            unmatched=(),
            audit_trouble=None,
            clients=(),
            running=None,
            pause=None,
            totals=totals,
        )
        return cls(vm.config, last, vm.standing)

    @property
    def name(self) -> str:
        return self.last.name

    def status(self) -> VMStatus:
        """Return the status, which stays as it is."""
        return self.last


class Successor:
    """Call `greet` when the process has said who it is. Create it in the loop.

    pid: None if unknown. given: the VMs that the process has by now, by key. asked: those that it has asked for, with why they
    were not handed over at the last attempt; None before the first one has failed.
    """

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._version: str | None = None
        self._since_s = 0.0
        self.given: dict[str, GivenVM] = {}
        self.asked: dict[str, str | None] = {}

    def greet(self, version: str) -> None:
        """Note the version of hmpshim in that process. From now on it is told that it takes over."""
        self._version, self._since_s = version, asyncio.get_running_loop().time()

    @property
    def who(self) -> str:
        """The process, as a person would name it, once it has said who it is."""
        assert self._version is not None, "greet comes first"
        return ReplacementStatus(self._pid, self._version, 0.0).who

    def status(self, vms: Mapping[str, SupervisedVM]) -> ReplacementStatus | None:
        """Return its status; None before it has said who it is. vms: those of this process, by key."""
        if self._version is None:
            return None
        here = {key: vm for key, vm in vms.items() if key not in self.given}
        waits_for = [(vm.name, self._why_here(key, vm)) for key, vm in here.items()]
        waits_for.sort(key=lambda one: natural(one[0]))
        return ReplacementStatus(self._pid, self._version, asyncio.get_running_loop().time() - self._since_s, tuple(waits_for))

    def _why_here(self, key: str, vm: SupervisedVM) -> str:
        if vm.is_stopping:
            return "it is ending"
        if (why := self.asked.get(key)) is not None:
            return why
        if vm.standing.pausing.status() is not None:
            return PAUSED
        if vm.is_at_work:
            return "a snapshot command runs"
        return "it is being handed over" if key in self.asked else "the other process has not asked for it yet"


def known_vms(fleet: Fleet) -> list[SupervisedVM | GivenVM]:
    """Return the VMs of a process and those that its successor has by now, sorted by name; vm2 comes before vm10."""
    given = {} if fleet.successor is None else fleet.successor.given
    here = [vm for key, vm in fleet.by_key.items() if key not in given]
    return sorted([*here, *given.values()], key=lambda vm: natural(vm.name))


def replacement_of(fleet: Fleet) -> ReplacementStatus | None:
    """Return the status of the process that takes over; None if there is none."""
    return None if fleet.successor is None else fleet.successor.status(fleet.by_key)

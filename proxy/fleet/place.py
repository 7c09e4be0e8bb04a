"""A VM's place in a fleet, and what a new wish has changed in the fleet."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from host.log_lines import VMLabel
from host.settings.config import VMConfig
from proxy.fleet.supervision import SupervisedVM

__all__ = ["Changes", "Place", "rename", "summary_of"]

_log = logging.getLogger(__name__)

# How long whoever changed a policy waits until it has been compared with the VM's disks. After that, only the log says so.
_COMPARED_WITHIN_S = 5.0


@dataclass(slots=True)
class Changes:
    """Count the VMs that a wish changed. compared: VMs whose new policy is first compared with their disks."""

    new: int = 0
    anew: int = 0
    ended: int = 0
    changed: int = 0
    problems: list[str] = field(default_factory=list)
    compared: list[SupervisedVM] = field(default_factory=list)

    def __str__(self) -> str:
        failed = f", not changed: {len(self.problems)}" if self.problems else ""
        return f"new: {self.new}, changed: {self.changed}, begun anew: {self.anew}, not served any more: {self.ended}{failed}"

    def tell(self, count: int) -> None:
        """Log the result of reading the file again. count: how many VMs are wanted now."""
        if self == Changes():
            _log.info("the configuration was read again, and nothing has changed")
        else:
            _log.debug("the configuration was read again; VMs: %d, %s", count, self)

    async def why_not_used(self) -> list[str]:
        """Return why changed policies are not in use, for the VMs whose disks were compared with them in time."""
        if not self.compared:
            return []
        waiting = [asyncio.ensure_future(vm.policy_checked()) for vm in self.compared]
        done, late = await asyncio.wait(waiting, timeout=_COMPARED_WITHIN_S)
        for task in late:
            task.cancel()
        return [why for task in waiting if task in done and (why := task.result()) is not None]


@dataclass(slots=True, eq=False)
class Place:
    """A VM's place in the fleet. It stays while one proxy of the VM gives way to the next.

    key: identifies the VM in the fleet. running: None only between two proxies. retry: a failed change that is retried until it
    succeeds. is_trying: the retry has finished its pause and is being made.
    """

    key: str
    label: VMLabel
    running: SupervisedVM | None = None
    retry: asyncio.Task[None] | None = None
    is_trying: bool = False

    def set_retry(self, retry: asyncio.Task[None] | None, /) -> None:
        """Set the change to retry after a pause; it replaces the one that was just tried."""
        self.retry, self.is_trying = retry, False

    async def end_retry(self) -> None:
        """Give up the retry of a change. One that is already being made runs to its end, so that no newer one overtakes it."""
        while (retry := self.retry) is not None:
            self.retry = None
            if not self.is_trying:
                retry.cancel()
            await asyncio.wait((retry,))
        self.stop_trying()

    def stop_trying(self) -> None:
        """Give up a change that has failed."""
        if self.retry is not None:
            self.retry.cancel()
        self.retry = None
        if self.running is not None:
            self.running.unchanged = None


def rename(places: dict[str, Place], wanted: Mapping[str, VMConfig], label: Callable[[str, VMConfig], str]) -> None:
    """Move a VM to its new key if its configuration was only renamed: an old key is gone, a new one has come, and QEMU is the
    same.

    label: returns what the VM's log lines begin with.
    """
    new = {vm.upstream: key for key, vm in wanted.items() if key not in places}
    for place in [place for place in places.values() if place.key not in wanted]:
        running = place.running
        if running is None or running.is_stopping or (key := new.pop(running.config.upstream, None)) is None:
            continue
        del places[place.key]
        places[key] = place
        place.key = key
        place.label.text = label(key, wanted[key])


def summary_of(vms: Iterable[SupervisedVM]) -> str:
    """Return in a few words how many of these are served."""
    are_served = [vm.is_connected for vm in vms]
    waiting = are_served.count(False)
    return f"VMs served: {are_served.count(True)}" + (f", waited for: {waiting}" if waiting else "")

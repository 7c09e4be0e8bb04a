"""The VMs of one process: those that are wanted, and those that run. Each follows its own configuration, and no other VM's.

A VM is known by its name, or by where its QEMU is where it has none in the configuration: QEMU's own name is not known before
QEMU is there. What a change needs is worked out for that VM alone. Its policy and rules are used at once. For anything else its
proxy ends in order and begins anew, with the new configuration, and its tools are disconnected as they are when QEMU goes.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from host.config import VMConfig
from host.log_lines import about_vm
from proxy.fleet.audit_logs import AuditLogs, with_shared_logs
from proxy.fleet.supervision import SupervisedVM, first_error
from proxy.recording.audit_writer import LAST_WRITE_S
from proxy.recording.disk_thread import DiskThread
from proxy.relaying.lasting import Shared, Standing
from proxy.relaying.ledger import Ledger

if TYPE_CHECKING:  # a start is quicker without it
    from proxy.control.status import VMStatus

__all__ = ["Fleet"]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Changes:
    """How many VMs are different from before."""

    new: int = 0
    anew: int = 0
    ended: int = 0
    policies: int = 0

    def __str__(self) -> str:
        return f"new: {self.new}, begun anew: {self.anew}, not served any more: {self.ended}, other policies: {self.policies}"


class Fleet:
    """Call `run` once, `want` with each other configuration meanwhile, and `stop`.

    forgives: an error ends only its VM's attempt, which is begun again; otherwise it ends the process, because its exit status
    is what a service manager acts upon.
    """

    def __init__(self, vms: Iterable[VMConfig], *, forgives: bool) -> None:
        self._wanted = _by_key(vms)
        self._forgives = forgives
        self.audit_logs = AuditLogs()
        self._shared = Shared(Ledger(_most_bytes(self._wanted.values())), DiskThread("state"))
        # What runs, or is on its way to its end. A key stays in `_tended` while one gives way to the next.
        self._running: dict[str, SupervisedVM] = {}
        self._tended: set[str] = set()
        self._group: asyncio.TaskGroup | None = None
        # Set while it is known of each VM whether it is served.
        self.settled = asyncio.Event()
        self._unsettled: set[str] = set()

    async def run(self) -> None:
        """Serve, until all VMs have ended. Raises what a VM raises that is not forgiven."""
        try:
            async with asyncio.TaskGroup() as self._group:
                for key in self._wanted:
                    self._begin(key)
        except BaseExceptionGroup as errors:
            # Not `except*`: what that raises is wrapped in a group again before Python 3.11.4.
            raise first_error(errors) from None
        finally:
            self._group = None
            await self.audit_logs.close()
            await self._shared.state.finish(LAST_WRITE_S)

    def stop(self) -> None:
        """End all VMs, each when the rewritten command that runs there is done."""
        self._wanted = {}
        for vm in self._running.values():
            vm.stop()

    def want(self, vms: Iterable[VMConfig]) -> None:
        """Serve these VMs from now on."""
        self._wanted, before = _by_key(vms), self._wanted
        self._shared.ledger.most_bytes = _most_bytes(self._wanted.values())
        changes = _Changes()
        for key, running in self._running.items():
            if key in before:
                with about_vm(self._name_in_log(key, running.config)):
                    self._follow(running, self._wanted.get(key), changes)
        for key in [key for key in self._wanted if key not in self._tended]:
            changes.new += 1
            with about_vm(key):
                _log.warning("%s: served from now on", key)
            self._begin(key)
        if changes == _Changes():
            _log.warning("the configuration was read again, and is as it was")
        else:
            _log.info("the configuration was read again; VMs: %d, %s", len(self._wanted), changes)

    @property
    def vms(self) -> list[SupervisedVM]:
        """The VMs that run, by name."""
        return sorted(self._running.values(), key=lambda vm: vm.name)

    def status(self) -> "list[VMStatus]":
        """Return how each VM is that runs, by name."""
        return [vm.status() for vm in self.vms]

    @property
    def summary(self) -> str:
        """Return in a few words how it is."""
        served = sum(vm.is_connected for vm in self._running.values())
        waiting = len(self._running) - served
        return f"VMs served: {served}" + (f", waited for: {waiting}" if waiting else "")

    def read_certificates(self) -> None:
        """Read the files of TLS again."""
        for vm in self._running.values():
            vm.read_certificates()

    def _follow(self, running: SupervisedVM, vm: VMConfig | None, changes: _Changes) -> None:
        """Have a VM that runs become what it is to be."""
        if vm is None:
            changes.ended += 1
            _log.warning("%s: not served any more, it is not in the file", running.name)
            running.stop()
        elif _needs_restart(running.config, vm):
            changes.anew += 1
            _log.warning("%s: begins anew, with other settings", running.name)
            running.stop()
        elif _has_other_policy(running.config, vm):
            changes.policies += 1
            running.change(vm)

    def _name_in_log(self, key: str, config: VMConfig) -> str:
        """Return what a line begins with; nothing where there is only one VM, which has no name."""
        return key if self._forgives else config.name or ""

    def _begin(self, key: str) -> None:
        assert self._group is not None, "it runs"
        self._tended.add(key)
        self._unsettled.add(key)
        self.settled.clear()
        self._group.create_task(self._tend(key), name=f"VM {key}")

    async def _tend(self, key: str) -> None:
        """Serve a VM as long as it is wanted, by one proxy after the other where its settings change."""
        standing = Standing()
        try:
            while (config := self._wanted.get(key)) is not None:
                vm = SupervisedVM(config, self.audit_logs, self._shared, partial(self._settle, key), standing)
                self._running[key] = vm
                try:
                    with about_vm(self._name_in_log(key, config)):
                        await (vm.keep_running() if self._forgives else vm.run())
                finally:
                    del self._running[key]
                    await vm.close()
                if not vm.is_stopping:  # it has ended by itself
                    self._wanted.pop(key, None)
        finally:
            standing.pausing.close()
            self._tended.discard(key)
            self._settle(key)

    def _settle(self, key: str) -> None:
        self._unsettled.discard(key)
        if not self._unsettled:
            self.settled.set()


def _by_key(vms: Iterable[VMConfig]) -> dict[str, VMConfig]:
    return {vm.shown_name: vm for vm in with_shared_logs(vms)}


def _most_bytes(vms: Iterable[VMConfig]) -> int:
    return max((vm.total_buffer_bytes for vm in vms), default=0)


def _needs_restart(running: VMConfig, vm: VMConfig) -> bool:
    """Tell whether something has changed that is fixed while a VM is served. Whether to wait for it is over by then."""
    # Read again, a configuration says the same of its listeners in one way.
    return replace(running.read_again(vm), wait=vm.wait) != vm.read_again(vm)


def _has_other_policy(running: VMConfig, vm: VMConfig) -> bool:
    return replace(running.read_again(vm), origin=running.origin) != running

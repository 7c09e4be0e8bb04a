"""All VMs of one process: signals, the configuration read again, and the audit logs that VMs may share.

A log is opened once for each destination, however many VMs write to it, because two open files would rotate each other away.
SIGHUP changes what can change under running clients (policies and modes), reads the certificates and opens the logs again;
addresses and the set of VMs need a restart, and a configuration that cannot be read leaves everything as it is.
"""

import asyncio
import logging
import signal
from collections.abc import Sequence
from dataclasses import replace

from host.addresses import Address
from host.audit_log import AuditLog, open_audit_log
from host.config import AuditSettings, VMConfig
from host.errors import AuditError, ConfigError
from proxy.command_line import ServeInvocation
from proxy.relaying.ledger import Ledger
from proxy.supervision import SupervisedVM, first_error

__all__ = ["Daemon"]

_log = logging.getLogger(__name__)


class Daemon:
    """Serve until SIGINT or SIGTERM; a second one ends it at once. SIGHUP reads the configuration and opens the logs again.

    One VM of several that cannot begin, or whose server fails, is tried again and again, and the others go on. The
    error of the only VM ends the process, because its exit status is what a service manager acts upon.
    """

    def __init__(self, invocation: ServeInvocation) -> None:
        """Raises AuditError if the log of the only VM cannot be opened."""
        self._config_path = invocation.config_path
        self._audit_settings = _audit_settings(invocation.vms)
        self._audit_logs: dict[str, AuditLog] = {}
        ledger = Ledger(max(vm.total_buffer_bytes for vm in invocation.vms))
        self._vms = [SupervisedVM(vm, self._audit_log_of, ledger) for vm in invocation.vms]
        self._is_stopping = False
        if len(invocation.vms) == 1:
            self._audit_log_of(invocation.vms[0])

    def _audit_log_of(self, vm: VMConfig) -> AuditLog | None:
        """Open a log for the first VM that begins; the others share it. Raises AuditError.

        So, of several VMs, one whose log cannot be opened is tried again like any other. No log is closed before the end,
        because its other VMs write to it.
        """
        if vm.audit is None:
            return None
        destination = vm.audit.destination
        if destination not in self._audit_logs:
            self._audit_logs[destination] = open_audit_log(self._audit_settings[destination])
        return self._audit_logs[destination]

    async def run(self) -> None:
        """Serve. Raises what an only VM that cannot begin raises."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            async with asyncio.TaskGroup() as group:
                for vm in self._vms:
                    group.create_task(vm.run() if len(self._vms) == 1 else vm.keep_running())
        except BaseExceptionGroup as errors:
            # Not `except*`: what that raises is wrapped in a group again before Python 3.11.4.
            raise first_error(errors) from None
        finally:
            self._close_audit_logs()

    def _close_audit_logs(self) -> None:
        for destination, audit_log in self._audit_logs.items():
            audit_log.close()
            if audit_log.untold:
                told = "audit log %s: records lost at its end, of which no record tells: %d"
                _log.warning(told, destination, audit_log.untold)

    def _stop(self) -> None:
        if self._is_stopping:
            # Whoever asks twice does not want to wait. What is not answered is put on record on the way out. This is a callback
            # of the loop, which lets KeyboardInterrupt through: it leaves asyncio.run() after all tasks were cancelled.
            raise KeyboardInterrupt
        self._is_stopping = True
        for vm in self._vms:
            vm.stop()

    def _reload(self) -> None:
        """Open the logs again first, whatever the file says: log rotation sends SIGHUP and waits for nothing else.

        Certificates are read again as well, also where there is no file: it is the paths that need a restart.
        """
        for audit_log in self._audit_logs.values():
            try:
                audit_log.reopen()
            except AuditError as exc:
                _log.error("%s; going on with the old file", exc)
        for vm in self._vms:
            vm.read_certificates()
        if self._config_path is None:
            return
        try:
            from host.config_file import load_config_file  # here, because without a file nothing of TOML is needed

            vms = load_config_file(self._config_path)
        except ConfigError as exc:
            _log.error("%s; the running configuration stays", exc)
            return
        self._apply({vm.upstream: vm for vm in vms})

    def _apply(self, vms: dict[Address, VMConfig]) -> None:
        """Give each running VM what the file says of it now. A VM is known by where its QEMU is.

        Not by its name, which may be QEMU's own and is not known before QEMU is there. What needs a restart is only told of:
        tools are connected by the old address.
        """
        for running in self._vms:
            vm = vms.pop(running.config.upstream, None)
            if vm is None:
                _log.warning("%s: it is not in the file any more; that needs a restart", running.name)
                continue
            is_other = _identity(vm) != _identity(running.config)
            running.change(vm)
            if is_other:
                _log.warning("%s: changes to settings other than the policy and the rules need a restart", running.name)
        for vm in vms.values():
            _log.warning("%s: a new VM needs a restart", vm.name or vm.upstream)


def _audit_settings(vms: Sequence[VMConfig]) -> dict[str, AuditSettings]:
    """Return how each log is kept: if one of its VMs wants it synchronous, it is so for all of them."""
    wanted: dict[str, AuditSettings] = {}
    for audit in (vm.audit for vm in vms if vm.audit is not None):
        known = wanted.get(audit.destination, audit)
        wanted[audit.destination] = replace(known, sync=known.sync or audit.sync)
    return wanted


def _identity(vm: VMConfig) -> VMConfig:
    """Return what a running VM cannot change, and what makes a difference while it runs."""
    return replace(vm.read_again(VMConfig(vm.upstream)), wait=False)

"""All VMs of one process: signals, the configuration read again, and the audit logs that VMs may share."""

import asyncio
import logging
import signal
from collections.abc import Sequence
from dataclasses import replace

from host.addresses import Address
from host.audit_log import AuditLog, open_audit_log
from host.config import AuditSettings, VMConfig
from host.errors import AuditError, ConfigError, ProgramError
from proxy.command_line import ServeInvocation
from proxy.server import Server

__all__ = ["Daemon"]

_log = logging.getLogger(__name__)


class Daemon:
    """Serve until SIGINT or SIGTERM; a second one ends it at once. SIGHUP reads the configuration and opens the logs again."""

    def __init__(self, invocation: ServeInvocation) -> None:
        """Raises AuditError if a log cannot be opened."""
        self._config_path = invocation.config_path
        self._audit_logs = _open_audit_logs(invocation.vms)
        self._servers = [Server(vm, self._audit_log_of(vm)) for vm in invocation.vms]
        self._is_stopping = False

    def _audit_log_of(self, vm: VMConfig) -> AuditLog | None:
        return None if vm.audit is None else self._audit_logs[vm.audit.destination]

    async def run(self) -> None:
        """Serve. Raises what the first VM that cannot begin raises."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            async with asyncio.TaskGroup() as group:
                for server in self._servers:
                    group.create_task(server.run())
        except BaseExceptionGroup as errors:
            # Not `except*`: what that raises is wrapped in a group again before Python 3.11.4.
            raise _first(errors) from None
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
            raise KeyboardInterrupt
        self._is_stopping = True
        for server in self._servers:
            server.stop()

    def _reload(self) -> None:
        for audit_log in self._audit_logs.values():
            try:
                audit_log.reopen()
            except AuditError as exc:
                _log.error("%s; going on with the old file", exc)
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
        for server in self._servers:
            running = server.config
            name = running.name or running.upstream
            vm = vms.pop(running.upstream, None)
            if vm is None:
                _log.warning("%s: it is not in the file any more; that needs a restart", name)
                continue
            server.set_policy(vm.policy)
            _log.warning("%s: the policy was read again", name)
            if _identity(vm) != _identity(running):
                _log.warning("%s: changes beside its policy need a restart", name)
        for vm in vms.values():
            _log.warning("%s: a new VM needs a restart", vm.name or vm.upstream)


def _open_audit_logs(vms: Sequence[VMConfig]) -> dict[str, AuditLog]:
    """Open each log once; if one of its VMs wants it synchronous, it is so for all of them."""
    wanted: dict[str, AuditSettings] = {}
    for audit in (vm.audit for vm in vms if vm.audit is not None):
        known = wanted.get(audit.destination, audit)
        wanted[audit.destination] = replace(known, sync=known.sync or audit.sync)
    return {destination: open_audit_log(settings) for destination, settings in wanted.items()}


def _identity(vm: VMConfig) -> VMConfig:
    """Give what a running VM cannot change."""
    return replace(vm, policy=type(vm.policy)(), origin=None)


def _first(errors: BaseExceptionGroup) -> BaseException:
    """Give the error that a person is to see: one that has a text of its own, if there is one."""
    told, others = errors.split(ProgramError)
    error = (told or others or errors).exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error

"""The audit logs that the VMs of a process write, each opened once for all VMs that keep it alike.

Two open files for one log would rotate each other away. So VMs with the same settings share one, from the first of them that
begins until the last has ended.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from host.audit_log import AuditLog, open_audit_log
from host.config import AuditSettings, VMConfig
from host.errors import AuditError

__all__ = ["AuditLogs", "with_shared_logs"]

_log = logging.getLogger(__name__)


def with_shared_logs(vms: Iterable[VMConfig]) -> list[VMConfig]:
    """Return the VMs with logs that are kept alike: if one VM wants a log synchronous, it is so for all that write to it."""
    vms = list(vms)
    synchronous = {vm.audit.destination for vm in vms if vm.audit is not None and vm.audit.sync}
    return [
        replace(vm, audit=replace(vm.audit, sync=True)) if vm.audit is not None and vm.audit.destination in synchronous else vm
        for vm in vms
    ]


class AuditLogs:
    """Each call of `acquire` needs one of `release`; `close` ends them all."""

    def __init__(self) -> None:
        self._open: dict[AuditSettings, AuditLog] = {}
        self._users: Counter[AuditSettings] = Counter()

    def acquire(self, settings: AuditSettings) -> AuditLog:
        """Return the log, which is opened for its first user. Raises AuditError."""
        if settings not in self._open:
            self._open[settings] = open_audit_log(settings)
        self._users[settings] += 1
        return self._open[settings]

    def release(self, settings: AuditSettings) -> None:
        """Close the log if this was the last of its users."""
        self._users[settings] -= 1
        if not self._users[settings]:
            self._close(settings)

    def reopen(self) -> None:
        """Begin new files where the old ones were moved or removed; one that cannot be opened goes on as it is."""
        for audit_log in self._open.values():
            try:
                audit_log.reopen()
            except AuditError as exc:
                _log.error("%s; going on with the old file", exc)

    def close(self) -> None:
        """Close all that are open."""
        for settings in list(self._open):
            self._close(settings)

    def _close(self, settings: AuditSettings) -> None:
        audit_log = self._open.pop(settings)
        audit_log.close()
        if audit_log.untold:
            told = "audit log %s: records lost at its end, of which no record tells: %d"
            _log.warning(told, settings.destination, audit_log.untold)

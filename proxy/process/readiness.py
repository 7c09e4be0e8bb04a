"""Whether the files that VMs need can be used: their audit logs and TLS files.

A process that replaces another finds this out before it asks for the first VM. So a mistake in its configuration ends it while
the other process still has all VMs, and none waits for its file between the two.
"""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from host.errors import ProgramError
from host.settings.config import VMConfig
from proxy.beside import in_time
from proxy.fleet.audit_logs import AuditLogs
from proxy.process.reading import read_certificates

__all__ = ["unusable_files"]

# A file that takes longer is on a disk that is stuck: only its own VM waits for it.
_WITHIN_S: Final = 10.0


async def unusable_files(vms: Mapping[str, VMConfig], logs: AuditLogs) -> list[tuple[list[str], ProgramError]]:
    """Return what is wrong with the files, each with the VMs that need it, by key. Logs that can be opened stay open for a
    while."""
    problems: dict[str, ProgramError] = {}
    with suppress(TimeoutError):
        problems.update((await in_time(partial(read_certificates, vms), _WITHIN_S)).problems)
    unwritable = await logs.open_ahead({vm.audit for vm in vms.values() if vm.audit is not None}, _WITHIN_S)
    problems |= {key: unwritable[vm.audit] for key, vm in vms.items() if vm.audit is not None and vm.audit in unwritable}
    told: dict[str, tuple[list[str], ProgramError]] = {}
    for key, problem in problems.items():
        told.setdefault(str(problem), ([], problem))[0].append(key)
    return list(told.values())

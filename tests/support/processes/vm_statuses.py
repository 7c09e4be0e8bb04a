"""The status of two VMs, with something of everything."""

from typing import Any, Final

from proxy.control.status import (
    ClientStatus,
    PauseStatus,
    RunningCommand,
    State,
    Totals,
    VMStatus,
    Waits,
    as_members,
)
from proxy.routing.vm_history import OTHER, DeprecatedUse, Failure, Outcome

__all__ = ["BUSY", "OFF", "OLD", "TOOL", "as_told"]

TOOL: Final = ClientStatus(3, "/usr/bin/tool (pid 5, uid 0)", 5, 0, "/usr/bin/tool", None, "unix:/l", 3725.0, Waits.OWN_COMMAND)
OLD: Final = ClientStatus(1, "tcp:10.0.0.1:5", None, None, None, "tcp:10.0.0.1:5", None, 200_000.0, None)
BUSY: Final = VMStatus(
    name="a",
    upstream="unix:/q",
    state=State.SERVED,
    qemu="10.0.13",
    policy="auto",
    mode="rewrite",
    audit="/log",
    clients=(TOOL, OLD),
    running=RunningCommand("savevm nightly\x1b", "/usr/bin/tool (pid 5, uid 0)", 75.4),
    pause=PauseStatus(61.0, 30.0),
    listen=("unix:/l",),
    totals=Totals(2, 1, 4, 1, {"limit": 3, "not_allowed": 2, "tls": 0}, 34_567, 1_000, 2_000_000, 5, 6, 7, 8, 9, 2),
    outcomes=(
        (Outcome("savevm", "rewritten", "ok"), 12),
        (Outcome("loadvm", "passed", "failed"), 2),
        (Outcome("delvm", "rewritten", "unknown"), 1),
        (Outcome(OTHER, "passed", "ok"), 70),
    ),
    deprecated=((DeprecatedUse("/usr/bin/tool", "x", ""), 3), (DeprecatedUse("/usr/bin/tool", "savevm", "snapshot-save"), 12)),
    failures=(
        Failure("2026-11-29T01:02:03+00:00", "/usr/bin/tool (pid 5, uid 0)", "loadvm no", "Error: not found"),
        Failure("2026-11-29T01:02:04+00:00", "/usr/bin/tool (pid 5, uid 0)", "loadvm \x1b", "Error: not found", 4),
    ),
)
OFF: Final = VMStatus("long-name", "unix:/q2", State.WAITED_FOR, "nobody\nis there", policy="hmp", mode="observe")


def as_told(*vms: VMStatus) -> dict[str, Any]:
    """Return what is told of these."""
    return {"version": "1", "pid": 5, "vms": [as_members(vm) for vm in vms]}

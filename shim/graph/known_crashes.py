"""What is known to kill QEMU, or to hang it for good, by version: seen on QEMU 5.2.0, 7.2.22, 8.2.2, 10.0.13 and 11.1.3.

Each check returns the cause in words, or None if there is no danger. A version between two that were tried counts as the more
dangerous one. What only fails is in shim/plans/foretelling.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shim.graph.blockgraph import BlockGraph, BlockNode
from shim.graph.patterns import is_varstore
from shim.hmp.line import DelVM, HMPCommand, LoadVM, SaveVM
from shim.qmp import JSON, QEMUVersion

__all__ = [
    "INACTIVE_STATES",
    "Hazards",
    "against_deleting",
    "against_loadvm",
    "against_savevm",
    "against_second_load",
    "against_unplugging",
    "below_filters",
    "during_migration",
    "hangs_when_unplugging",
    "questions",
    "read_hazards",
]

# The filters that a mirror or a commit puts on top of its disk: see against_loadvm.
_JOB_FILTERS = frozenset({"mirror_top", "commit_top"})
# Filters that a load must not go through in any version.
_HARMFUL_FILTERS = frozenset({"throttle", "blkreplay"})
INACTIVE_STATES = frozenset({"inmigrate", "postmigrate"})

# The first versions in which QEMU itself refuses, or no longer does harm.
_STATES_CHECKED = (7, 2)
_MULTIFD_CHECKED = (10, 2)
_JOBS_CHECKED = (10, 0)
_UNPLUGGING_IS_SAFE = (10, 0)
# 8.2 aborts when it loads what was saved with `compress` on; 7.2 does not. 9.1 dropped it.
_COMPRESS_ABORTS = ((7, 3), (9, 1))
# Under record/replay 11.1 does not stop the disks before it deletes a snapshot, and aborts about that; 10.0 does not look.
_DELETING_ABORTS_IN_REPLAY = (10, 1)


@dataclass(frozen=True, slots=True)
class Hazards:
    """Settings of the VM that decide whether a command is dangerous.

    run_state, replay_mode: None if not queried. capabilities: the migration capabilities that are on.
    """

    run_state: str | None = None
    replay_mode: str | None = None
    capabilities: frozenset[str] = frozenset()


def questions(command: HMPCommand, version: QEMUVersion) -> list[str]:
    """Return the names of the queries for `read_hazards`: only those that can reveal a danger in this version."""
    saves_or_loads = isinstance(command, SaveVM | LoadVM)
    names = ["query-status"] if saves_or_loads and version < _STATES_CHECKED else []
    names += ["query-migrate-capabilities"] if saves_or_loads and version < _MULTIFD_CHECKED else []
    may_delete = isinstance(command, SaveVM | DelVM)
    names += ["query-replay"] if may_delete and version >= _DELETING_ABORTS_IN_REPLAY else []
    return names


def read_hazards(values: Mapping[str, JSON]) -> Hazards:
    """Read the values that the queries of `questions` returned, by query name; a query may be missing."""
    capabilities = values.get("query-migrate-capabilities", ())
    return Hazards(
        run_state=values.get("query-status", {}).get("status"),
        replay_mode=values.get("query-replay", {}).get("mode"),
        capabilities=frozenset(entry["capability"] for entry in capabilities if entry["state"]),
    )


def during_migration(hazards: Hazards, version: QEMUVersion) -> str | None:
    """Return why a save or load during a migration, or with multifd, would kill this QEMU.

    QEMU 5.2 aborts (`bdrv_co_write_req_prepare: Assertion`) when it writes to a disk that belongs to a migration; 7.2 reports
    an error. 5.2 to 10.0 die (SIGSEGV) when they save or load with multifd; 10.2 and later refuse.
    """
    if version < _STATES_CHECKED and hazards.run_state in INACTIVE_STATES:
        return f"QEMU {version} would crash: the VM is in state {hazards.run_state}, and its disks belong to the migration"
    if version < _MULTIFD_CHECKED and "multifd" in hazards.capabilities:
        return f"QEMU {version} would crash: the migration capability multifd is on. {_turn_off('multifd')} first"
    return None


def _turn_off(capability: str) -> str:
    return f"Turn it off (migrate_set_capability {capability} off)"


def against_savevm(graph: BlockGraph, vmstate: BlockNode, version: QEMUVersion) -> str | None:
    """Return why saving the VM state on this node would kill or hang QEMU.

    QEMU 7.2 to 11.1 abort (`qcow2_co_encdec: Assertion`) when they write the VM state into an encrypted qcow2. When they write
    it through blkreplay, they wait forever for a turn that comes only while the guest runs.
    """
    holder = graph.snapshot_holder(vmstate)
    if any(step.driver == "blkreplay" for step in graph.snapshot_path(vmstate)):
        return (
            f"QEMU {version} would hang for good: it cannot store the VM state on '{vmstate.label}', through the "
            f"filter blkreplay. Choose another disk for it with the vmstate setting"
        )
    if holder is not None and holder.is_encrypted:
        return (
            f"QEMU {version} would crash: it cannot store the VM state on '{vmstate.label}', which is encrypted. "
            f"Choose another disk for it with the vmstate setting"
        )
    return None


def against_loadvm(devices: Sequence[BlockNode], tag: str, hazards: Hazards, version: QEMUVersion) -> str | None:
    """Return why loading on these nodes would kill or hang QEMU.

    When it reverts a disk below a running mirror or commit, 7.2 crashes, 8.2 hangs for good, and 10.0 reports an error. With
    `compress` on, 8.2 aborts.
    """
    mirrored = [node for node in devices if node.driver == "mirror_top"]
    if mirrored and version < _JOBS_CHECKED:
        return (
            f"QEMU {version} would {'crash' if version < (8, 0) else 'hang for good'}: a mirror or commit job runs on "
            f"'{mirrored[0].label}'. Finish or cancel it (query-block-jobs shows it), then load '{tag}'"
        )
    if _COMPRESS_ABORTS[0] <= version < _COMPRESS_ABORTS[1] and "compress" in hazards.capabilities:
        return f"QEMU {version} would crash: the migration capability compress is on. {_turn_off('compress')} first"
    return None


def against_second_load(graph: BlockGraph, tag: str, version: QEMUVersion) -> str | None:
    """Return why a second load without a run in between would kill QEMU: it has a writable pflash.

    Each load registers a callback that the pflash runs at the next start. The first callback removes the second while QEMU
    iterates over them (hw/block/pflash_cfi01.c, postload_update_cb; seen on 7.2, 10.0 and 11.1, with HMP's loadvm as well).
    Call this only if the machine was loaded and has not run since.
    """
    flash = next((node for node in graph.nodes.values() if is_varstore(node) and not node.is_read_only), None)
    if flash is None:
        return None
    return (
        f"QEMU {version} would crash at the next 'cont': the VM was loaded already and has not run since, and "
        f"'{flash.label}' is a pflash that can be written to. Let the VM run first (cont, then stop), then load '{tag}'"
    )


def hangs_when_unplugging(version: QEMUVersion) -> bool:
    """Tell whether a load may hang for good while a disk is being unplugged (seen on 7.2; not on 10.0 and 11.1)."""
    return version < _UNPLUGGING_IS_SAFE


def against_unplugging(device: str, version: QEMUVersion) -> str:
    """Say why nothing is loaded while a disk waits for its guest to let it go: see shim/plans/unplugging.py.

    device: its QOM path.
    """
    name = device.removeprefix("/machine/peripheral/")
    return (
        f"QEMU {version} may hang for good: '{name}' is being unplugged, and a load would complete that. Load once it has gone "
        f"(event DEVICE_DELETED): when the guest lets it go, or after 'system_reset'"
    )


def against_deleting(hazards: Hazards, version: QEMUVersion) -> str | None:
    """Return why deleting or replacing a snapshot would kill QEMU.

    QEMU 11.1 aborts (`bdrv_snapshot_delete: Assertion`) when it does so under record/replay.
    """
    if version >= _DELETING_ABORTS_IN_REPLAY and hazards.replay_mode not in (None, "none"):
        return f"QEMU {version} would crash: it cannot delete a snapshot while it records or replays. Use another tag"
    return None


def below_filters(graph: BlockGraph, node: BlockNode, version: QEMUVersion) -> BlockNode:
    """Return the node to load in place of this one: below the filters that a load must not go through, with the same snapshots.

    Before 10.0, QEMU reports success, but then no request through the filter ever ends (seen on 5.2 and 7.2 with raw,
    copy-on-read and throttle); with blkdebug it crashes. 10.0 and 11.1 abort (`throttle_drain_end: Assertion`) if one of the
    filters is throttle. A load through blkreplay never ends (7.2 to 11.1). A node below a mirror or commit is returned as it
    is:
    see against_loadvm.
    """
    path = graph.snapshot_path(node)
    if any(step.driver in _JOB_FILTERS for step in path):
        return node
    harmful = [place for place, step in enumerate(path[:-1]) if version < (10, 0) or step.driver in _HARMFUL_FILTERS]
    return path[harmful[-1] + 1] if harmful else node

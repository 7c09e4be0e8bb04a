"""A model of a QEMU 7.2 machine: its run state, and what saving, loading and deleting snapshots does to it.

No sockets, no protocol, no clock. The snapshot functions keep the order of checks of migration/savevm.c, because the
shim relies on that order; HMP and the jobs call the same three, as in QEMU. Events go to `emit` as they happen.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from shim.qmp import QEMUVersion
from tests.fakes.block import BlockGraph, Node, Snapshot
from tests.fakes.jobs import Emit, Job, Jobs, SnapshotError, VMFaults

__all__ = ["DEBIAN_12", "SNAPSHOT_JOBS_SINCE", "VM"]

SNAPSHOT_JOBS_SINCE: Final = QEMUVersion(6, 0)
MAX_TAG_BYTES: Final = 255
VM_STATE_BYTES: Final = 355_673
START_NS: Final = 1_700_000_000 * 10**9
NS_PER_SNAPSHOT: Final = 10**7
DEBIAN_12: Final = QEMUVersion(7, 2, 22)


class VM:
    """The machine. `emit` takes an event's name and data."""

    def __init__(
        self,
        graph: BlockGraph,
        *,
        version: QEMUVersion = DEBIAN_12,
        package: str = "",
        run_state: str = "running",
        jobs: Iterable[Job] = (),
        faults: VMFaults | None = None,
        emit: Emit = lambda name, data: None,
    ) -> None:
        self.graph = graph
        self.version = version
        self.package = package
        self.run_state = run_state
        self.faults = faults or VMFaults()
        self.jobs = Jobs(jobs, faults=self.faults, emit=emit)
        self.emit = emit
        self.memory = 0  # stands for RAM and devices: a test sets it, a load brings back what was saved
        self.has_quit = False
        # The migration capabilities that are on, and -icount rr=: tests set them, and nothing follows from them.
        self.capabilities: frozenset[str] = frozenset()
        self.replay_mode = "none"
        self.ram_bytes = 32 * 1024 * 1024
        self._now_ns = START_NS
        self._saved_memory: dict[int, int] = {}
        self._migration_status: str | None = None

    # -- run state (softmmu/runstate.c) --------------------------------------------------------------------------------

    def stop(self, state: str) -> bool:
        """vm_stop: leave the running state and tell whether it was left."""
        was_running = self.run_state == "running"
        if was_running:
            self.run_state = state
            self.emit("STOP", None)
        return was_running

    def start(self) -> None:
        """vm_start."""
        if self.run_state != "running":
            self.run_state = "running"
            self.emit("RESUME", None)

    # -- snapshots (migration/savevm.c, block/snapshot.c) --------------------------------------------------------------

    def save_snapshot(
        self, tag: str | None, devices: list[str] | None = None, vmstate: str | None = None, *, overwrite: bool
    ) -> None:
        """save_snapshot: `devices` None is HMP's set, `tag` None makes a name from the time."""
        if self.faults.migration_blocker is not None:
            raise SnapshotError(self.faults.migration_blocker)
        nodes = self._snapshot_nodes(devices)
        if tag is not None and overwrite:
            self._delete_tag(nodes, tag)
        elif tag is not None and self._is_on_all(nodes, tag):
            raise SnapshotError(f"Snapshot '{tag}' already exists in one or more devices")
        vmstate_node = self._vmstate_node(nodes, vmstate)
        was_running = self.stop("save-vm")
        try:
            self._migration_status = "failed"
            self._fail_if_asked("snapshot-save")
            self._migration_status = "completed"
            self._create_snapshots(nodes, vmstate_node, tag)
        finally:
            if was_running:
                self.start()

    def load_snapshot(self, tag: str, devices: list[str] | None = None, vmstate: str | None = None) -> None:
        """hmp_loadvm and snapshot_load_job_bh: the VM is stopped before any check, and stays so after a failure."""
        was_running = self.stop("restore-vm")
        nodes = self._snapshot_nodes(devices)
        if not self._is_on_all(nodes, tag):
            raise SnapshotError(f"Snapshot '{tag}' does not exist in one or more devices")
        state = self._find(self._vmstate_node(nodes, vmstate), tag)
        if state is None or state.vm_state_size == 0:
            raise SnapshotError("This is a disk-only snapshot. Revert to it  offline using qemu-img")
        for node in nodes:
            self._revert(node, tag)
        self._fail_if_asked("snapshot-load")
        self.memory = self._saved_memory.get(state.date_ns, 0)
        if was_running:
            self.start()

    def delete_snapshot(self, tag: str, devices: list[str] | None = None) -> None:
        """delete_snapshot: the first of that tag on each node; an absent tag is a success."""
        nodes = self._snapshot_nodes(devices)
        self._fail_if_asked("snapshot-delete")
        self._delete_tag(nodes, tag)

    def query_migrate(self) -> dict[str, Any]:
        """qapi/migration.json, query-migrate: a save leaves its status there; the numbers are not modelled."""
        blocker = self.faults.migration_blocker
        row: dict[str, Any] = {} if blocker is None else {"blocked-reasons": [blocker]}
        return row if self._migration_status is None else row | {"status": self._migration_status}

    def _snapshot_nodes(self, devices: list[str] | None) -> list[Node]:
        if devices is None:
            nodes = self.graph.hmp_set()
        elif not devices:
            raise SnapshotError("At least one device is required for snapshot")
        else:
            nodes = [self._device(name) for name in devices]
        for node in nodes:
            if self.run_state in ("inmigrate", "postmigrate") or not self.graph.can_snapshot(node):
                raise SnapshotError(f"Device '{self.graph.label(node)}' is writable but does not support snapshots")
        return nodes

    def _device(self, name: str) -> Node:
        node = self.graph.find(name)
        if node is None:
            raise SnapshotError(f"No block device node '{name}'")
        return node

    def _vmstate_node(self, nodes: list[Node], vmstate: str | None) -> Node:
        if vmstate is None and not nodes:
            raise SnapshotError("no block device can store vmstate for snapshot")
        found = nodes[0] if vmstate is None else next((node for node in nodes if node.name == vmstate), None)
        if found is None:
            raise SnapshotError(f"vmstate block device '{vmstate}' does not exist")
        return found

    def _find(self, node: Node, tag: str) -> Snapshot | None:
        return next((snapshot for snapshot in self.graph.snapshots_of(node) if snapshot.name == tag), None)

    def _is_on_all(self, nodes: list[Node], tag: str) -> bool:
        return all(self._find(node, tag) is not None for node in nodes)

    def _delete_tag(self, nodes: list[Node], tag: str) -> None:
        for node in nodes:
            snapshot = self._find(node, tag)
            if snapshot is not None:
                self.graph.snapshots_of(node).remove(snapshot)

    def _create_snapshots(self, nodes: list[Node], vmstate_node: Node, tag: str | None) -> None:
        self._now_ns += NS_PER_SNAPSHOT
        name = _cut(tag) if tag is not None else f"vm-{datetime.fromtimestamp(self._now_ns // 10**9, UTC):%Y%m%d%H%M%S}"
        self._saved_memory[self._now_ns] = self.memory
        for node in nodes:
            target = self.graph.snapshot_node(node)
            if target is None or not target.can_store:
                self._delete_tag(nodes, name)
                raise SnapshotError(f"Could not create snapshot '{name}' on '{self.graph.label(node)}'")
            next_id = 1 + max((int(snapshot.id) for snapshot in target.snapshots), default=0)
            size = VM_STATE_BYTES if node is vmstate_node else 0
            clock_ns = self._now_ns - START_NS
            target.snapshots.append(Snapshot(str(next_id), name, size, self._now_ns, clock_ns, target.content))

    def _revert(self, node: Node, tag: str) -> None:
        target = self.graph.snapshot_node(node)
        snapshot = self._find(node, tag)
        if target is None or snapshot is None:
            return
        if target.has_bitmap:
            label = self.graph.label(node)
            raise SnapshotError(f"Could not load snapshot '{tag}' on '{label}': Device has active dirty bitmaps")
        target.content = snapshot.content

    def _fail_if_asked(self, job_type: str) -> None:
        if job_type in self.faults.failures:
            raise SnapshotError(self.faults.failures[job_type])


def _cut(tag: str) -> str:
    return tag.encode()[:MAX_TAG_BYTES].decode(errors="replace")

"""What QEMU's checks will say. tests/integration/planning/test_foretelling_on_qemu.py holds it against the real ones."""

from typing import Any

import pytest

from shim.graph.blockgraph import BlockGraph, read_graph
from shim.graph.known_crashes import Hazards
from shim.plans import jobs
from shim.plans.foretelling import (
    blocked_error,
    creation_error,
    doomed,
    is_doubtful,
    load_error,
    unable_error,
    was_found_after_reverting,
)
from shim.qmp import QEMUVersion
from shim.rules.rules import Verdict
from tests.support.shim.graphs import V7_2, V10_0, V11_1, VERSIONS, VIRTIO, Machine, Node, disk, drive, rows
from tests.support.shim.snapshot_plans import raw_data, two

# What a job says where HMP says something else.
JOBS_ONLY = ("At least one device is required for snapshot", "No block device node 'x'", "Job ID 'x' already in use")
T, STATE = rows("t"), rows("t", vm_state=True)


def machine(*, can_store: bool = True, has_bitmap: bool = False) -> Machine:
    """Return a VM whose second disk has what a snapshot cannot be made of, or loaded under."""
    below = disk("b", device="d1", qdev=VIRTIO[1], snapshots=T)
    below[-1].can_store, below[-1].has_bitmap = can_store, has_bitmap
    return Machine([*drive("a", "d0", VIRTIO[0], tags=STATE), *below])


def read(described: Machine, nodes: list[dict[str, Any]]) -> BlockGraph:
    return read_graph(described.query_block(), nodes, described.query_graph(), version=V7_2)


def test_disk_that_cannot_snapshot() -> None:
    graph = raw_data().graph()
    assert unable_error(graph, graph.hmp_set()) == "Device 'd1' is writable but does not support snapshots"
    assert unable_error(graph, graph.hmp_set()[:1]) is None
    assert unable_error(graph, []) == "At least one device is required for snapshot"


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_image_that_takes_no_snapshot(version: QEMUVersion) -> None:
    graph = machine(can_store=False).graph(version)
    assert creation_error(graph, graph.hmp_set(), "t") == "Could not create snapshot 't' on 'd1'"
    # Only trying shows it, since an image that was never written to takes more.
    assert is_doubtful(graph, graph.hmp_set(), "t")
    assert doomed(graph, graph.hmp_set(), "t", Hazards(), version) is None


def test_image_that_takes_another() -> None:
    graph = machine().graph()
    assert creation_error(graph, graph.hmp_set(), "t") is None
    assert doomed(graph, graph.hmp_set(), "t", Hazards(), V7_2) is None


@pytest.mark.parametrize(
    ("bits", "tags", "is_full"),
    [
        *((1, "", True), (1, "t", True), (2, "a", False), (2, "at", False), (2, "ab", True), (4, "abcdefghijklm", False)),
        *((4, "abcdefghijklmn", True), (16, "abcdefghijklmn", False), (64, "a", False)),
    ],
)
def test_narrow_refcounts_take_few_snapshots(bits: int, tags: str, is_full: bool) -> None:
    """Each snapshot is a user of a cluster, and so is the disk as it is. The snapshot that is replaced goes before."""
    described = Machine(disk("a", device="d0", snapshots=rows(*tags)))
    nodes = described.query_named_block_nodes()
    nodes[0]["image"]["format-specific"] = {"type": "qcow2", "data": {"refcount-bits": bits}}
    graph = read(described, nodes)
    assert (creation_error(graph, graph.hmp_set(), "t") is not None) == is_full


def test_content_in_another_file_takes_none() -> None:
    described = Machine(disk("a", device="d0", snapshots=T))
    nodes = described.query_named_block_nodes()
    nodes[0]["image"]["format-specific"] = {"type": "qcow2", "data": {"refcount-bits": 16, "data-file": "x.raw"}}
    graph = read(described, nodes)
    assert creation_error(graph, graph.hmp_set(), "t") == "Could not create snapshot 't' on 'd0'"
    assert doomed(graph, graph.hmp_set(), "t", Hazards(), V7_2) == "Could not create snapshot 't' on 'd0'"
    assert not is_doubtful(graph, graph.hmp_set(), "t")


@pytest.mark.parametrize(
    ("capability", "version", "error"),
    [
        ("multifd", V11_1, "Snapshots are not compatible with multifd"),
        ("multifd", QEMUVersion(10, 2, 0), "Snapshots are not compatible with multifd"),
        ("multifd", V10_0, None),  # it crashes, which is the guard's
        ("block", V7_2, "Block migration and snapshots are incompatible"),
        ("mapped-ram", V10_0, "Error while writing VM state: Input/output error"),
        ("mapped-ram", V11_1, None),
        ("xbzrle", V7_2, None),
    ],
)
def test_capability_dooms_a_savevm(capability: str, version: QEMUVersion, error: str | None) -> None:
    graph = two().graph(version)
    assert doomed(graph, graph.hmp_set(), "t", Hazards(capabilities=frozenset({capability})), version) == error


@pytest.mark.parametrize(
    ("reasons", "error"),
    [
        ((), None),
        (("a",), "a"),
        (("a", "b"), "b"),
        (("non-migratable device: 0000:00:02.0/nvme",), "State blocked by non-migratable device '0000:00:02.0/nvme'"),
    ],
)
def test_blocker_is_told_in_the_words_of_savevm(reasons: tuple[str, ...], error: str | None) -> None:
    assert blocked_error(reasons) == error


def test_load_fails_by_the_first_of_its_checks() -> None:
    graph = machine(has_bitmap=True).graph()
    a, b = graph.hmp_set()
    assert load_error(graph, [a, b], a, "u") == "Snapshot 'u' does not exist in one or more devices"
    assert load_error(graph, [a, b], b, "t") == "This is a disk-only snapshot. Revert to it  offline using qemu-img"
    assert load_error(graph, [a, b], a, "t") == "Could not load snapshot 't' on 'd1': Device has active dirty bitmaps"
    assert load_error(graph, [a], a, "t") is None
    raw = raw_data(STATE).graph()
    assert load_error(raw, raw.hmp_set(), None, "t") == "Device 'd1' is writable but does not support snapshots"


def test_bitmap_below_a_filter_counts() -> None:
    below = disk("b", snapshots=STATE)
    below[-1].has_bitmap = True
    graph = Machine([*below, Node("top", "throttle", device="", qdev=VIRTIO[0], children={"file": "b"})]).graph()
    (top,) = graph.hmp_set()
    assert top.name == "top"
    assert load_error(graph, [top], None, "t") == "Could not load snapshot 't' on 'top': Device has active dirty bitmaps"


@pytest.mark.parametrize(
    ("error", "is_after"),
    [
        ("Error -22 while loading VM state", True),
        ("Unknown section or instance '0000:00:03.0/0:0:0/scsi-disk' 0. Make sure that your current VM setup matches", True),
        ("Snapshot 't' does not exist in one or more devices", False),
        ("This is a disk-only snapshot. Revert to it  offline using qemu-img", False),
        ("Device 'd0' is writable but does not support snapshots", False),
        ("Could not load snapshot 't' on 'd0': Device has active dirty bitmaps", False),
        ("the result of job 'j' is not known: another monitor dismissed it", False),
        # In HMP's words, and in ours.
        *((jobs.hmp_text(jobs.JobResult(error)).strip().removeprefix("Error: "), False) for error in JOBS_ONLY),
        (Verdict(False, "rule 1", "'loadvm'").text, False),
        ("/log: No space left on device; the command was not run", False),
        ("hmpshim has failed while it did this, so the outcome is not known; see info snapshots, and hmpshim's log", False),
    ],
)
def test_which_errors_come_after_the_disks_are_reverted(error: str, is_after: bool) -> None:
    """QEMU 7.2 and 10.0, and 11.1."""
    assert was_found_after_reverting(error) is is_after

"""What may be believed without asking again, and what ends that."""

from typing import Any

import pytest

from shim.graph.known import Known
from shim.graph.wiring import Wiring, read_wiring
from shim.qmp import Execute
from tests.support.shim.graphs import V7_2, VIRTIO, Backend, Machine, Node, disk, drive


def wiring(machine: Machine) -> tuple[Any, Wiring]:
    return machine.query_graph(), read_wiring(machine.query_block(), machine.query_graph(), version=V7_2)


ONE = Machine(drive("a", "d0", VIRTIO[0]))


def test_wiring_is_known_for_the_same_graph_only() -> None:
    known = Known()
    graph, found = wiring(ONE)
    assert known.wiring(graph) is None
    known.learn_wiring(graph, found, since=known.epoch)
    assert known.has_wiring
    assert known.wiring(ONE.query_graph()) is found
    assert known.wiring(Machine([*ONE.nodes, *disk("b")]).query_graph()) is None


def test_device_that_goes_takes_the_wiring_with_it() -> None:
    known = Known()
    graph, found = wiring(ONE)
    known.learn_wiring(graph, found, since=known.epoch)
    for name in ("STOP", "DEVICE_TRAY_MOVED", "BLOCK_JOB_COMPLETED"):
        known.receive_event(name, {})
    assert known.wiring(graph) is found
    known.receive_event("DEVICE_DELETED", {})
    assert known.wiring(graph) is None
    assert not known.has_wiring


def test_device_that_goes_while_its_wiring_is_asked_for_is_not_learned() -> None:
    known = Known()
    graph, found = wiring(ONE)
    epoch = known.epoch
    known.receive_event("DEVICE_DELETED", {})
    known.learn_wiring(graph, found, since=epoch)
    assert not known.has_wiring


@pytest.mark.parametrize(
    ("machine", "is_kept"),
    [
        (Machine(drive("a", "d0", VIRTIO[0])), True),
        (Machine(drive("a", "d0")), False),  # waits for its device
        (Machine([*disk("a")], [Backend("a", qdev=VIRTIO[0])]), True),
        (Machine([*disk("a")], [Backend("a")]), True),  # an export
        (Machine([*disk("a")]), True),
        (Machine(drive("a", "d0", VIRTIO[0]), [Backend("a", "d0", VIRTIO[0]), Backend(None, "cd0")]), True),  # an empty drive
        (Machine([Node("a", device="d0", qdev=VIRTIO[0]), Node("b", device="d1")]), False),
    ],
    ids=["attached", "waiting", "blockdev", "export", "unattached", "empty", "one of two waiting"],
)
def test_wiring_is_kept_unless_a_drive_waits_for_its_device(machine: Machine, is_kept: bool) -> None:
    """That it gets one need not show in the graph (share-rw=on)."""
    known = Known()
    graph, found = wiring(machine)
    known.learn_wiring(graph, found, since=known.epoch)
    assert known.has_wiring == is_kept


def test_load_counts_until_the_machine_runs() -> None:
    known = Known()
    known.note_sent([Execute("query-jobs"), Execute("snapshot-save")])
    assert not known.is_loaded
    known.note_sent([Execute("snapshot-load"), Execute("query-jobs")])
    known.receive_event("STOP", {})
    assert known.is_loaded
    known.note_sent([Execute("query-jobs")])
    assert known.is_loaded
    known.receive_event("RESUME", {})
    assert not known.is_loaded

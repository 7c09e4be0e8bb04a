"""What is known to crash QEMU. Seen: 5.2.0, 7.2.22, 10.0.13, 11.1.3; a version between two counts as the worse one."""

import pytest

from shim import guard
from shim.blockgraph import BlockGraph
from shim.qmp import QEMUVersion
from tests.graphs import V5_2, V7_2, V10_0, V11_1, VIRTIO, Machine, Node, disk

MIRROR = Machine(
    [*disk("low"), Node("top", "mirror_top", device="d0", qdev=VIRTIO[0], children={"backing": "low"}), *disk("other")]
)
THROTTLE = Machine([*disk("low"), Node("top", "throttle", device="", qdev=VIRTIO[0], children={"file": "low"})])


@pytest.mark.parametrize("state", ["inmigrate", "postmigrate"])
def test_disks_in_a_migrations_hands_crash_5_2(state: str) -> None:
    assert guard.during_migration(guard.Hazards(state), V5_2) == (
        f"QEMU 5.2.0 would crash: the VM is in state {state}, and its disks belong to the migration"
    )


@pytest.mark.parametrize("state", ["running", "paused", "prelaunch", "shutdown", "preconfig", "finish-migrate"])
def test_other_states_of_5_2_are_no_danger(state: str) -> None:
    assert guard.during_migration(guard.Hazards(state), V5_2) is None


@pytest.mark.parametrize("version", [V7_2, V10_0, V11_1], ids=str)
def test_from_7_2_qemu_reports_a_migrations_disks_itself(version: QEMUVersion) -> None:
    assert guard.during_migration(guard.Hazards("inmigrate"), version) is None


@pytest.mark.parametrize("version", [V7_2, V10_0, V11_1], ids=str)
def test_vmstate_on_an_encrypted_disk_is_a_danger(version: QEMUVersion) -> None:
    graph = Machine(disk("d0", device="disk0", qdev=VIRTIO[0]), encrypted=frozenset({"d0"})).graph(version)
    assert guard.against_savevm(graph, graph.nodes["d0"], version) == (
        f"QEMU {version} would crash: it cannot store the VM state on 'disk0', which is encrypted. "
        "Choose another disk for it with the vmstate setting"
    )


def test_vmstate_through_a_filter_on_an_encrypted_disk_is_a_danger() -> None:
    graph = Machine(THROTTLE.nodes, encrypted=frozenset({"low"})).graph()
    assert "on 'top', which is encrypted" in (guard.against_savevm(graph, graph.nodes["top"], V7_2) or "")


def test_encryption_elsewhere_is_no_danger() -> None:
    machine = Machine([*disk("d0"), *disk("d1", "raw")], encrypted=frozenset({"d0", "d1"}))
    graph = machine.graph()
    assert guard.against_savevm(Machine([*disk("d0")]).graph(), graph.nodes["d0"], V7_2)
    assert guard.against_savevm(graph, graph.nodes["d1"], V7_2) is None
    plain = Machine([*disk("d0"), *disk("d1")], encrypted=frozenset({"d1"})).graph()
    assert guard.against_savevm(plain, plain.nodes["d0"], V7_2) is None


@pytest.mark.parametrize("version", [QEMUVersion(6, 0), V7_2, QEMUVersion(9, 2, 9)], ids=str)
def test_loading_below_a_mirror_is_a_danger_before_10_0(version: QEMUVersion) -> None:
    graph = MIRROR.graph(version)
    assert guard.against_loadvm(graph.hmp_set(), "t", guard.Hazards(), version) == (
        f"QEMU {version} would {'crash' if version < (8, 0) else 'hang for good'}: a mirror or commit job runs on 'd0'. "
        "Finish or cancel it (query-block-jobs shows it), then load 't'"
    )


@pytest.mark.parametrize("version", [V10_0, V11_1], ids=str)
def test_from_10_0_qemu_reports_a_mirror_itself(version: QEMUVersion) -> None:
    assert guard.against_loadvm(MIRROR.graph(version).hmp_set(), "t", guard.Hazards(), version) is None


def test_loading_beside_a_mirror_is_no_danger() -> None:
    graph = MIRROR.graph()
    assert guard.against_loadvm([graph.nodes["other"], graph.nodes["low"]], "t", guard.Hazards(), V7_2) is None


def stack(*drivers: str, version: QEMUVersion = V7_2) -> BlockGraph:
    """Give a qcow2 node called 0 with filters 1, 2, … on it, the lowest first."""
    filters = [Node(str(place), driver, children={"file": str(place - 1)}) for place, driver in enumerate(drivers, 1)]
    return Machine([*disk("0"), *filters]).graph(version)


@pytest.mark.parametrize("version", [V10_0, V11_1], ids=str)
@pytest.mark.parametrize(
    ("drivers", "loaded"),
    [
        ((), "0"),
        (("throttle",), "0"),
        (("throttle", "throttle"), "0"),
        (("throttle", "copy-on-read"), "0"),
        (("throttle", "raw", "copy-on-read"), "0"),
        (("copy-on-read", "throttle"), "1"),
        (("throttle", "raw", "throttle", "raw"), "0"),
        (("copy-on-read", "raw"), "2"),
        (("throttle", "mirror_top"), "2"),
    ],
    ids=str,
)
def test_loading_goes_round_the_lowest_throttle(drivers: tuple[str, ...], loaded: str, version: QEMUVersion) -> None:
    graph = stack(*drivers, version=version)
    assert guard.below_filters(graph, graph.nodes[str(len(drivers))], version).name == loaded


@pytest.mark.parametrize("version", [QEMUVersion(6, 0), V7_2, QEMUVersion(9, 2, 9)], ids=str)
@pytest.mark.parametrize("drivers", [(), ("throttle",), ("raw",), ("copy-on-read",), ("raw", "throttle")], ids=str)
def test_loading_goes_round_every_filter_before_10_0(drivers: tuple[str, ...], version: QEMUVersion) -> None:
    graph = stack(*drivers, version=version)
    assert guard.below_filters(graph, graph.nodes[str(len(drivers))], version).name == "0"


def test_filter_without_a_known_node_below_stays() -> None:
    graph = Machine(THROTTLE.nodes, unlisted=frozenset({"low"})).graph(V11_1)
    assert guard.below_filters(graph, graph.nodes["top"], V11_1).name == "top"

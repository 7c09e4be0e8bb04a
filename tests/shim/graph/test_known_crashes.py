"""What is known to crash QEMU. Seen: 5.2.0, 7.2.22, 10.0.13, 11.1.3; a version between two counts as the worse one."""

import pytest

from shim.graph import known_crashes
from shim.graph.blockgraph import BlockGraph
from shim.hmp.line import DelVM, LoadVM, SaveVM
from shim.qmp import QEMUVersion
from tests.support.shim.graphs import V5_2, V7_2, V10_0, V11_1, VIRTIO, Machine, Node, disk

MIRROR = Machine(
    [*disk("low"), Node("top", "mirror_top", device="d0", qdev=VIRTIO[0], children={"backing": "low"}), *disk("other")]
)
THROTTLE = Machine([*disk("low"), Node("top", "throttle", device="", qdev=VIRTIO[0], children={"file": "low"})])


@pytest.mark.parametrize("state", ["inmigrate", "postmigrate"])
def test_disks_in_a_migrations_hands_crash_5_2(state: str) -> None:
    assert known_crashes.during_migration(known_crashes.Hazards(state), V5_2) == (
        f"QEMU 5.2.0 would crash: the VM is in state {state}, and its disks belong to the migration"
    )


@pytest.mark.parametrize("state", ["running", "paused", "prelaunch", "shutdown", "preconfig", "finish-migrate"])
def test_other_states_of_5_2_are_no_danger(state: str) -> None:
    assert known_crashes.during_migration(known_crashes.Hazards(state), V5_2) is None


@pytest.mark.parametrize("version", [V7_2, V10_0, V11_1], ids=str)
def test_from_7_2_qemu_reports_a_migrations_disks_itself(version: QEMUVersion) -> None:
    assert known_crashes.during_migration(known_crashes.Hazards("inmigrate"), version) is None


@pytest.mark.parametrize("version", [V7_2, V10_0, V11_1], ids=str)
def test_vmstate_on_an_encrypted_disk_is_a_danger(version: QEMUVersion) -> None:
    graph = Machine(disk("d0", device="disk0", qdev=VIRTIO[0]), encrypted=frozenset({"d0"})).graph(version)
    assert known_crashes.against_savevm(graph, graph.nodes["d0"], version) == (
        f"QEMU {version} would crash: it cannot store the VM state on 'disk0', which is encrypted. "
        "Choose another disk for it with the vmstate setting"
    )


def test_vmstate_through_a_filter_on_an_encrypted_disk_is_a_danger() -> None:
    graph = Machine(THROTTLE.nodes, encrypted=frozenset({"low"})).graph()
    assert "on 'top', which is encrypted" in (known_crashes.against_savevm(graph, graph.nodes["top"], V7_2) or "")


def test_encryption_elsewhere_is_no_danger() -> None:
    machine = Machine([*disk("d0"), *disk("d1", "raw")], encrypted=frozenset({"d0", "d1"}))
    graph = machine.graph()
    assert known_crashes.against_savevm(Machine([*disk("d0")]).graph(), graph.nodes["d0"], V7_2)
    assert known_crashes.against_savevm(graph, graph.nodes["d1"], V7_2) is None
    plain = Machine([*disk("d0"), *disk("d1")], encrypted=frozenset({"d1"})).graph()
    assert known_crashes.against_savevm(plain, plain.nodes["d0"], V7_2) is None


@pytest.mark.parametrize("version", [QEMUVersion(6, 0), V7_2, QEMUVersion(9, 2, 9)], ids=str)
def test_loading_below_a_mirror_is_a_danger_before_10_0(version: QEMUVersion) -> None:
    graph = MIRROR.graph(version)
    assert known_crashes.against_loadvm(graph.hmp_set(), "t", known_crashes.Hazards(), version) == (
        f"QEMU {version} would {'crash' if version < (8, 0) else 'hang for good'}: a mirror or commit job runs on 'd0'. "
        "Finish or cancel it (query-block-jobs shows it), then load 't'"
    )


@pytest.mark.parametrize("version", [V10_0, V11_1], ids=str)
def test_from_10_0_qemu_reports_a_mirror_itself(version: QEMUVersion) -> None:
    assert known_crashes.against_loadvm(MIRROR.graph(version).hmp_set(), "t", known_crashes.Hazards(), version) is None


def test_loading_beside_a_mirror_is_no_danger() -> None:
    graph = MIRROR.graph()
    assert known_crashes.against_loadvm([graph.nodes["other"], graph.nodes["low"]], "t", known_crashes.Hazards(), V7_2) is None


def stack(*drivers: str, version: QEMUVersion = V7_2) -> BlockGraph:
    """Return a qcow2 node called 0 with filters 1, 2, … on it, the lowest first."""
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
    assert known_crashes.below_filters(graph, graph.nodes[str(len(drivers))], version).name == loaded


@pytest.mark.parametrize("version", [QEMUVersion(6, 0), V7_2, QEMUVersion(9, 2, 9)], ids=str)
@pytest.mark.parametrize("drivers", [(), ("throttle",), ("raw",), ("copy-on-read",), ("raw", "throttle")], ids=str)
def test_loading_goes_round_every_filter_before_10_0(drivers: tuple[str, ...], version: QEMUVersion) -> None:
    graph = stack(*drivers, version=version)
    assert known_crashes.below_filters(graph, graph.nodes[str(len(drivers))], version).name == "0"


def test_filter_without_a_known_node_below_stays() -> None:
    graph = Machine(THROTTLE.nodes, unlisted=frozenset({"low"})).graph(V11_1)
    assert known_crashes.below_filters(graph, graph.nodes["top"], V11_1).name == "top"


# -- settings of the VM ---------------------------------------------------------------------------------------------------

V8_2 = QEMUVersion(8, 2, 2)


def hazards(*capabilities: str, replay: str | None = None) -> known_crashes.Hazards:
    return known_crashes.Hazards(replay_mode=replay, capabilities=frozenset(capabilities))


@pytest.mark.parametrize(("version", "is_deadly"), [(V7_2, True), (V8_2, True), (V10_0, True), (V11_1, False)])
def test_multifd_kills_before_10_2(version: QEMUVersion, is_deadly: bool) -> None:
    told = known_crashes.during_migration(hazards("multifd"), version)
    assert told == (
        f"QEMU {version} would crash: the migration capability multifd is on. "
        "Turn it off (migrate_set_capability multifd off) first"
        if is_deadly
        else None
    )
    assert known_crashes.during_migration(hazards("xbzrle", "compress"), version) is None


@pytest.mark.parametrize(("version", "is_deadly"), [(V7_2, False), (V8_2, True), (V10_0, False)])
def test_compress_kills_a_load_of_8_2(version: QEMUVersion, is_deadly: bool) -> None:
    told = known_crashes.against_loadvm((), "t", hazards("compress"), version)
    assert (told is not None) == is_deadly
    assert "compress is on. Turn it off" in (told or "compress is on. Turn it off")


@pytest.mark.parametrize("mode", ["record", "play"])
@pytest.mark.parametrize(("version", "is_deadly"), [(V10_0, False), (QEMUVersion(10, 1, 0), True), (V11_1, True)])
def test_deleting_under_replay_kills_after_10_0(mode: str, version: QEMUVersion, is_deadly: bool) -> None:
    assert (known_crashes.against_deleting(hazards(replay=mode), version) is not None) == is_deadly
    assert known_crashes.against_deleting(hazards(replay="none"), version) is None


def test_vm_state_through_blkreplay_hangs() -> None:
    image = Machine([*disk("low"), Node("top", "blkreplay", device="", qdev=VIRTIO[0], children={"image": "low"})])
    graph = image.graph(V11_1)
    assert "would hang for good" in (known_crashes.against_savevm(graph, graph.nodes["top"], V11_1) or "")
    assert known_crashes.against_savevm(graph, graph.nodes["low"], V11_1) is None
    assert known_crashes.below_filters(graph, graph.nodes["top"], V11_1).name == "low"


def test_questions_are_those_that_the_version_needs() -> None:
    capabilities = "query-migrate-capabilities"
    assert known_crashes.questions(SaveVM("t"), V5_2) == ["query-status", capabilities]
    assert known_crashes.questions(LoadVM("t"), V7_2) == [capabilities]
    assert known_crashes.questions(SaveVM("t"), V11_1) == known_crashes.questions(DelVM("t"), V11_1) == ["query-replay"]
    assert known_crashes.questions(DelVM("t"), V7_2) == known_crashes.questions(LoadVM("t"), V11_1) == []


def test_answers_are_read() -> None:
    listed = [{"capability": "multifd", "state": True}, {"capability": "xbzrle", "state": False}]
    values = {"query-status": {"status": "paused"}, "query-migrate-capabilities": listed, "query-replay": {"mode": "none"}}
    assert known_crashes.read_hazards(values) == known_crashes.Hazards("paused", "none", frozenset({"multifd"}))
    assert known_crashes.read_hazards({}) == known_crashes.Hazards()

"""What is in the way of all snapshots, and the lines that get it out of the way."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from shim.advice.obstacles import obstacles, room_faults
from shim.advice.vm_facts import BlockJob, VMFacts
from shim.graph.blockgraph import BlockGraph
from shim.graph.free_space import FreeSpace
from shim.graph.policy import Policy, PolicyKind
from shim.graph.selection import Selection, select
from shim.plans.repairs import Fault, FaultKind, Where
from tests.support.shim.graphs import VIRTIO, Backend, Machine, Node, disk, drive, patterns, rows
from tests.support.shim.snapshot_plans import backed_up, raw_data, two, uefi

STATE: Final = rows("t", vm_state=True)
GUEST: Final = "(a guest has to let a PCI device go)"


def seen(machine: Machine, policy: Policy | None = None) -> tuple[BlockGraph, Selection]:
    graph = machine.graph()
    return graph, select(graph, policy or Policy())


def faults(machine: Machine, facts: VMFacts | None = None, policy: Policy | None = None) -> tuple[Fault, ...]:
    return obstacles(*seen(machine, policy), facts or VMFacts())


def fault(machine: Machine, facts: VMFacts | None = None, policy: Policy | None = None) -> Fault:
    (found,) = faults(machine, facts, policy)
    return found


def lines(fault: Fault) -> list[list[str]]:
    return [list(map(str, way.lines)) for way in fault.repairs]


def test_nothing_is_in_the_way_of_sound_disks() -> None:
    assert faults(two(STATE, STATE)) == ()
    assert faults(uefi(on_disk=STATE)) == ()


# -- disks that cannot hold a snapshot ------------------------------------------------------------------------------------


def test_backup_job_is_no_reason_to_despair() -> None:
    """HMP has the same words for it as for a raw disk: "is writable but does not support snapshots"."""
    found = fault(backed_up(STATE))
    assert found.kind is FaultKind.UNABLE
    assert found.text == (
        "the backup job 'nightly' runs on d0, so loadvm and savevm fail until it has ended; "
        "the snapshots of that disk are there: 't'"
    )
    assert lines(found) == [["info block-jobs"], ["block_job_cancel nightly"]]
    assert [way.effect for way in found.repairs] == [
        "shows how far the job 'nightly' is; wait for its end",
        "ends the job 'nightly' at once, and leaves the VM's disk as it is; its copy stays incomplete",
    ]


def test_backup_job_on_a_disk_without_snapshots_is_all_there_is_to_tell() -> None:
    assert fault(backed_up()).text == "the backup job 'nightly' runs on d0, so loadvm and savevm fail until it has ended"


def test_raw_disk_is_unplugged_left_out_or_made_anew() -> None:
    found = fault(raw_data())
    assert found.text == "d1 (format raw) cannot hold a snapshot, so loadvm and savevm fail"
    assert lines(found) == [
        ["device_del v1"],
        ["--exclude d1"],
        ["qemu-img convert -f raw -O qcow2 b.img b.img.qcow2"],
    ]
    assert [way.where for way in found.repairs] == [Where.PROMPT, Where.OPTION, Where.SHELL]
    assert (
        found.repairs[0].effect
        == f"unplugs d1 {GUEST}; only once v1 has gone (event DEVICE_DELETED), the others can be saved and loaded"
    )


def test_disk_without_a_file_is_not_made_anew() -> None:
    nodes = [replace(node, filename="json:{}") for node in drive("b", "d1", VIRTIO[1], driver="raw")]
    assert lines(fault(Machine([*drive("a", "d0", VIRTIO[0]), *nodes]))) == [["device_del v1"], ["--exclude d1"]]


def test_each_disk_has_its_own_ways() -> None:
    nodes = [*drive("a", "d0", VIRTIO[0], driver="raw"), *drive("b", "d1", VIRTIO[1], driver="raw")]
    assert [found.text.partition(" ")[0] for found in faults(Machine(nodes))] == ["d0", "d1"]


UNUSED: Final = Machine([*drive("a", "d0", VIRTIO[0]), *disk("r", "raw")])


def test_node_that_no_device_uses_is_closed() -> None:
    found = fault(UNUSED)
    assert lines(found) == [['qmp blockdev-del node-name="r"'], ["--exclude r"]]
    assert found.repairs[0].effect == (
        "closes r, which no device uses; its image stays; then the others can be saved and loaded"
    )


def test_drive_that_no_device_uses_is_closed() -> None:
    assert lines(fault(Machine([*drive("a", "d0", VIRTIO[0]), *drive("r", "hd", driver="raw")])))[0] == ["drive_del hd"]


def test_exported_node_is_closed_after_its_exports() -> None:
    found = fault(UNUSED, VMFacts(exports={"r": ("e0", "e1"), "a": ("e2",)}))
    assert lines(found)[0] == [
        *('qmp block-export-del id="e0"', 'qmp block-export-del id="e1"'),
        'qmp blockdev-del node-name="r"',
    ]
    assert found.repairs[0].effect.startswith("ends the export of r, which nobody may be using, and closes it; ")


@pytest.mark.parametrize(
    ("device", "qdev", "first"),
    [
        ("fd", "fl", ["eject fd"]),
        ("", "fl", ['qmp eject id="fl"', 'qmp blockdev-del node-name="r"']),
        ("", "/machine/unattached/device[3]", ["--exclude r"]),
    ],
)
def test_medium_is_taken_out(device: str, qdev: str, first: list[str]) -> None:
    nodes = [*drive("a", "d0", VIRTIO[0]), *disk("r", "raw")]
    backends = [Backend("a", "d0", VIRTIO[0]), Backend("r", device, qdev, removable=True)]
    assert lines(fault(Machine(nodes, backends)))[0] == first


def test_disk_of_two_devices_is_not_unplugged() -> None:
    backends = [Backend("a", "d0", VIRTIO[0]), Backend("r", "", VIRTIO[1]), Backend("r", "", VIRTIO[2])]
    assert lines(fault(replace(UNUSED, backends=backends)))[0] == ["--exclude r"]


def test_target_of_a_job_is_let_alone_until_its_end() -> None:
    machine = replace(UNUSED, backends=[Backend("a", "d0", VIRTIO[0]), Backend("r")], jobs={"mir": {"target": "r"}})
    found = fault(machine, VMFacts(jobs={"mir": BlockJob("mirror")}))
    assert found.text.endswith("so loadvm and savevm fail; the mirror job 'mir' writes to it")
    assert lines(found) == [["info block-jobs"], ["block_job_cancel mir"], ["--exclude r"]]


HMP: Final = Policy(PolicyKind.HMP)


def test_raw_varstore_is_what_the_default_policy_is_for() -> None:
    found = fault(uefi(), policy=HMP)
    assert lines(found) == [["--policy auto"]]
    assert found.repairs[0].effect == (
        'leaves pflash1 out (in a configuration: policy = "auto"); then the others can be saved and loaded'
    )


def test_policy_hmp_excludes_nothing() -> None:
    found = fault(raw_data(), policy=HMP)
    assert lines(found)[1] == ["--policy auto --exclude d1"]
    assert '(in a configuration: policy = "auto", exclude = ["d1"])' in found.repairs[1].effect


@pytest.mark.parametrize(
    ("name", "qdev", "filename", "pattern"),
    [
        ("#block7", VIRTIO[1], "b.img", f"qdev:{VIRTIO[1]}"),
        ("#block7", None, "b.img", "file:b.img"),
        ("#block7", None, "", "'node:#block7'"),
        ("r", None, "", "r"),
        ("x*", None, "", "'x*'"),
    ],
)
def test_disk_without_a_lasting_name_is_left_out_by_what_lasts(
    name: str, qdev: str | None, filename: str, pattern: str
) -> None:
    """QEMU gives a node that nobody named another name at each start."""
    nodes = [Node("b-file", "file"), Node(name, "raw", filename=filename, qdev=qdev, children={"file": "b-file"})]
    assert [f"--exclude {pattern}"] in lines(fault(Machine([*drive("a", "d0", VIRTIO[0]), *nodes])))


def test_pattern_fits_the_disk_alone() -> None:
    """A drive's name may be another one's node name with a wildcard."""
    nodes = [*drive("r1", "d0", VIRTIO[0]), *disk("r*", "raw")]
    assert ["--exclude file:'r*.img'"] not in lines(fault(Machine(nodes)))
    assert ["--exclude " + "'node:r*'"] in lines(fault(Machine(nodes)))


@pytest.mark.parametrize("state", ["inmigrate", "postmigrate"])
def test_disks_of_a_migration_cannot_be_written_to(state: str) -> None:
    found = fault(two(), VMFacts(run_state=state))
    assert found.kind is FaultKind.UNABLE
    assert f"(state {state}), so savevm, loadvm and delvm fail" in found.text
    assert found.repairs == ()


# -- what QEMU does not load under ----------------------------------------------------------------------------------------


def mirrored(driver: str = "mirror_top") -> Machine:
    top = Node("top", driver, device="d0", qdev=VIRTIO[0], children={"backing": "a"})
    return Machine([*disk("a", snapshots=STATE), top], jobs={"j": {"main node": "top"}})


@pytest.mark.parametrize(
    ("job", "line", "effect"),
    [
        (None, "block_job_cancel j", "ends the job 'j' at once, and leaves the VM's disk as it is; its copy stays incomplete"),
        (
            BlockJob("mirror"),
            "block_job_cancel j",
            "ends the job 'j' at once, and leaves the VM's disk as it is; its copy stays incomplete",
        ),
        (BlockJob("mirror", is_ready=True), "block_job_cancel j", "ends the job 'j', which is ready: its copy is complete"),
        (BlockJob("commit"), "block_job_cancel j", "ends the job 'j' at once, and leaves the VM's disk as it is"),
        (BlockJob("commit", is_ready=True), "block_job_complete j", "completes the job 'j', which is ready"),
    ],
)
def test_job_that_copies_the_disk(job: BlockJob | None, line: str, effect: str) -> None:
    found = fault(mirrored(), VMFacts(jobs={} if job is None else {"j": job}))
    kind = "" if job is None else f"{job.kind} "
    assert found.kind is FaultKind.BUSY
    assert found.text == f"the {kind}job 'j' runs on d0, so loadvm fails until it has ended"
    assert lines(found) == [["info block-jobs"], [line]]
    assert found.repairs[1].effect == effect


def test_other_filters_are_in_nobodys_way() -> None:
    top = Node("top", "throttle", device="d0", qdev=VIRTIO[0], children={"file": "a"})
    assert faults(Machine([*disk("a", snapshots=STATE), top])) == ()


def test_bitmap_is_lost_and_that_is_said() -> None:
    (below, node) = drive("a", "d0", VIRTIO[0], tags=STATE)
    found = fault(Machine([below, replace(node, has_bitmap=True)]))
    assert found == replace(found, kind=FaultKind.BUSY, text="d0 has the dirty bitmap 'b', under which QEMU loads no snapshot")
    assert lines(found) == [['qmp block-dirty-bitmap-remove node="a" name="b"']]
    assert "for good" in found.repairs[0].effect


# -- what keeps anything from being saved ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kinds"), [("multifd", ["busy", "blocked"]), ("mapped-ram", ["blocked"]), ("zero-blocks", [])]
)
def test_capabilities_that_do_not_go_with_snapshots(name: str, kinds: list[str]) -> None:
    found = faults(two(), VMFacts(capabilities=frozenset({name})))
    assert [one.kind.value for one in found] == kinds
    assert all(lines(one) == [[f"migrate_set_capability {name} off"]] for one in found)


DEVICES: Final = {"iv": "ivshmem-plain", "nv": "nvme", "v1": "virtio-blk-pci"}


@pytest.mark.parametrize(
    ("reason", "way"),
    [
        ("non-migratable device: 0000:00:03.0/nvme", ["device_del nv"]),
        ("non-migratable device: nvme", ["device_del nv"]),
        ("Migration is disabled when using feature 'peer mode' in device 'ivshmem'", ["device_del iv"]),
        ("The vvfat (rw) format used by node 'vvfat' does not support live migration", ["device_del v1"]),
        (
            "Migration is disabled when VirtFS export path '/srv' is mounted in the guest using mount_tag 'host'",
            ["umount -a -t 9p"],
        ),
    ],
)
def test_blocker_is_named_and_taken_away(reason: str, way: list[str]) -> None:
    machine = Machine([*drive("a", "d0", VIRTIO[0]), *drive("vvfat", "fat", VIRTIO[1])])
    found = fault(machine, VMFacts(blocked_reasons=(reason, reason), devices=DEVICES))
    assert (found.kind, found.text) == (FaultKind.BLOCKED, f"savevm fails: {reason}")
    assert lines(found) == [way]
    assert found.repairs[0].effect.endswith("savevm works")


@pytest.mark.parametrize(
    "reason",
    [
        "State blocked by non-migratable CPU device (invtsc flag)",
        "non-migratable device: 0000:00:03.0/rocker",
        "The vmdk format used by node 'gone' does not support live migration",
    ],
)
def test_blocker_for_which_nobody_knows_a_way_is_named_all_the_same(reason: str) -> None:
    assert fault(two(), VMFacts(blocked_reasons=(reason,), devices=DEVICES)).repairs == ()


MIB: Final = 1024 * 1024


def room(free: dict[str, int], policy: Policy | None = None, ram_bytes: int | None = 64 * MIB) -> list[Fault]:
    """Return the faults of a VM with d0 and d1, whose files these are."""
    nodes = [replace(node, filename=f"/{name}") for name in ("d0", "d1") for node in drive(name[1], name, VIRTIO[int(name[1])])]
    graph, selection = seen(Machine(nodes), policy)
    vmstate = selection.vmstate
    assert vmstate is not None

    def look(path: str) -> FreeSpace:
        return FreeSpace(free[path])

    return list(room_faults(graph, selection, VMFacts(ram_bytes=ram_bytes), look, vmstate))


def test_disk_with_room_is_named() -> None:
    (found,) = room({"/d0": MIB, "/d1": 65 * MIB})
    assert found.kind is FaultKind.NO_ROOM
    assert found.text == "the file system of d0 may have no room for the VM's RAM; savevm would then fail after a pause"
    assert [str(line) for line in found.repairs[0].lines] == ["--vmstate d1"]
    assert '(in a configuration: vmstate = ["d1"])' in found.repairs[0].effect
    assert found.repairs[1].effect == "make room in the file system of /d0"


def test_policy_hmp_puts_the_state_nowhere_else() -> None:
    (found,) = room({"/d0": MIB, "/d1": 65 * MIB}, HMP)
    assert [str(line) for line in found.repairs[0].lines] == ["--policy auto --vmstate d1"]
    assert 'policy = "auto", vmstate = ["d1"]' in found.repairs[0].effect


def test_no_disk_has_room() -> None:
    (found,) = room({"/d0": MIB, "/d1": MIB})
    assert [way.lines for way in found.repairs] == [()]


def test_there_is_room_or_nobody_can_tell() -> None:
    assert room({"/d0": 64 * MIB}) == []
    assert room({"/d0": MIB}, ram_bytes=None) == []
    graph, selection = seen(two())
    assert list(room_faults(graph, selection, VMFacts(ram_bytes=MIB), None, graph.nodes["a"])) == []


# -- images below ---------------------------------------------------------------------------------------------------------


def overlay(snapshots: Sequence[str] = ("t", "u", "t")) -> Machine:
    top = Node("ov", "qcow2", device="d0", qdev=VIRTIO[0], children={"file": "ov-file", "backing": "a"})
    return Machine([*disk("a", ro=True, snapshots=rows(*snapshots)), Node("ov-file", "file"), top])


def test_snapshots_below_an_overlay_are_not_lost() -> None:
    found = fault(overlay())
    assert found.kind is FaultKind.HIDDEN
    assert found.text == "the image a below d0 has 't', 'u', and loadvm does not look there"
    assert lines(found) == [
        [
            'qmp block-commit job-id=repair device="ov" base-node="a"',
            "info block-jobs",
            "block_job_complete repair",
        ]
    ]
    assert found.repairs[0].effect.endswith("Not if another image is based on it, which would be corrupted")


def test_image_below_without_snapshots() -> None:
    assert faults(overlay([])) == ()


def test_image_below_that_is_a_disk_itself_is_not_hidden() -> None:
    """An export may use it."""
    machine = overlay()
    below = [replace(node, ro=False) for node in machine.nodes]
    backends = [Backend("ov", "d0", VIRTIO[0]), Backend("a")]
    assert faults(replace(machine, nodes=below, backends=backends)) == ()


def test_excluded_disk_is_in_nobodys_way() -> None:
    assert faults(raw_data(), policy=Policy(exclude=patterns("d1"))) == ()

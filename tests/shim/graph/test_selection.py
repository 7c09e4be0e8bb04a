"""Which nodes a command takes, which one gets the VM state, and the words for it."""

import pytest

from shim.graph.blockgraph import BlockGraph
from shim.graph.patterns import is_removable, is_varstore
from shim.graph.policy import Policy, PolicyKind
from shim.graph.selection import NodeChoice, Selection, select, unmatched, why_unmatched
from tests.support.shim.graphs import V10_0, VIRTIO, Backend, Machine, Node, disk, drive, names, patterns, uefi_vm

HMP = PolicyKind.HMP
FLASH_1 = "/machine/system.flash1"
RAW_DATA = Machine([*drive("sys", "d0", VIRTIO[0]), *drive("data", "d1", VIRTIO[1], driver="raw")])
TWO = Machine([*drive("sys", "d0", VIRTIO[0]), *drive("data", "d1", VIRTIO[1])])
USB = Backend("usb", "u0", "/machine/peripheral/us0/us0.0/legacy[0]", removable=True)
FLASH = Backend("vars", "pflash1", FLASH_1)
SYS = Backend("sys", "d0", VIRTIO[0])
HMPS_CHOICE = "HMP's choice: the first disk that can hold a snapshot"


def machine(*backends: Backend) -> Machine:
    """A VM with a qcow2 disk for each backend, in that order."""
    return Machine([node for backend in backends for node in disk(backend.root or "")], backends)


def choose(machine: Machine, policy: Policy | None = None) -> Selection:
    return select(machine.graph(), policy or Policy())


def reasons(selection: Selection) -> dict[str, tuple[bool, str]]:
    return {choice.node.name: (choice.included, choice.reason) for choice in selection.choices}


def vmstate(selection: Selection) -> str | None:
    return None if selection.vmstate is None else selection.vmstate.name


# -- which nodes (R5) -----------------------------------------------------------------------------------------------------


def test_raw_varstore_is_left_out() -> None:
    selection = choose(Machine(uefi_vm()))
    assert reasons(selection) == {
        "code": (False, "read-only"),
        "vars": (False, "varstore of format raw, which cannot hold a snapshot"),
        "disk0": (True, "writable disk"),
    }
    assert names(selection.included) == ["disk0"]
    assert (vmstate(selection), selection.vmstate_reason) == ("disk0", HMPS_CHOICE)
    assert not selection.is_hmps_choice


def test_qcow2_varstore_is_taken_but_gets_no_vm_state() -> None:
    selection = choose(Machine(uefi_vm(varstore="qcow2")))
    assert reasons(selection)["vars"] == (True, "varstore that can hold a snapshot")
    assert names(selection.included) == ["vars", "disk0"]
    assert vmstate(selection) == "disk0"
    assert selection.vmstate_reason == (
        "the first fixed disk; HMP would take the varstore 'pflash1', "
        "so loading by QEMU itself (-loadvm) finds no VM state there"
    )
    assert not selection.is_hmps_choice


def test_varstore_of_a_filter_on_raw_is_left_out() -> None:
    nodes = [*disk("low", "raw"), Node("top", "throttle", device="", qdev=FLASH_1, children={"file": "low"})]
    selection = choose(Machine([*nodes, *drive("sys", "d0", VIRTIO[0])]))
    assert reasons(selection)["top"] == (False, "varstore of format throttle, which cannot hold a snapshot")


def test_varstore_on_qcow2_below_raw_is_taken() -> None:
    nodes = [*disk("low"), Node("top", "raw", device="pflash1", qdev=FLASH_1, children={"file": "low"})]
    assert names(choose(Machine([*nodes, *drive("sys", "d0", VIRTIO[0])])).included) == ["top", "sys"]


def test_raw_data_disk_stays_in() -> None:
    """Its content would not be rolled back, so QEMU's own error is to come."""
    selection = choose(RAW_DATA)
    assert reasons(selection) == {"sys": (True, "writable disk"), "data": (True, "writable disk")}
    assert vmstate(selection) == "sys"
    assert selection.is_hmps_choice


def test_read_only_disk_is_skipped_by_every_policy() -> None:
    nodes = [*disk("iso", "raw", device="cd0", ro=True), *drive("sys", "d0", VIRTIO[0])]
    for policy in (Policy(), Policy(HMP), Policy(exclude=patterns("iso"))):
        assert reasons(choose(Machine(nodes), policy))["iso"] == (False, "read-only")


@pytest.mark.parametrize("name", ["data", "d1"])
def test_excluded_disk_is_skipped(name: str) -> None:
    selection = choose(RAW_DATA, Policy(exclude=patterns(name)))
    assert reasons(selection)["data"] == (False, "excluded by the configuration")
    assert names(selection.included) == ["sys"]
    assert not selection.is_hmps_choice


@pytest.mark.parametrize("name", ["dat", "DATA", "d1-file", "data-file", "other"])
def test_exclusion_of_another_name_excludes_nothing(name: str) -> None:
    assert names(choose(RAW_DATA, Policy(exclude=patterns(name))).included) == ["sys", "data"]


def test_exclusion_goes_before_the_varstores_own_rule() -> None:
    selection = choose(Machine(uefi_vm(varstore="qcow2")), Policy(exclude=patterns("pflash1")))
    assert reasons(selection)["vars"] == (False, "excluded by the configuration")
    assert (vmstate(selection), selection.vmstate_reason) == ("disk0", HMPS_CHOICE)


def test_all_excluded_leaves_no_disk() -> None:
    selection = choose(TWO, Policy(exclude=patterns("d0", "d1")))
    assert (selection.included, selection.vmstate, selection.missing_vmstate) == ((), None, None)
    assert selection.vmstate_reason == "no disk can hold the VM state"


def test_choices_are_in_hmps_order() -> None:
    selection = choose(machine(USB, FLASH, SYS))
    assert [choice.node.name for choice in selection.choices] == ["usb", "vars", "sys"]
    assert selection.choices[2] == NodeChoice(selection.included[2], True, "writable disk")


# -- policy = "hmp" (R5) --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("varstore", ["raw", "qcow2"])
def test_policy_hmp_takes_hmps_set(varstore: str) -> None:
    selection = choose(Machine(uefi_vm(varstore=varstore)), Policy(HMP))
    assert reasons(selection)["vars"] == (True, "HMP takes every writable disk")
    assert vmstate(selection) == ("disk0" if varstore == "raw" else "vars")
    assert selection.vmstate_reason == HMPS_CHOICE
    assert selection.is_hmps_choice


def test_policy_hmp_excludes_nothing_and_shuns_nothing() -> None:
    selection = choose(machine(USB, FLASH, SYS), Policy(HMP, exclude=patterns("usb", "vars")))
    assert names(selection.included) == ["usb", "vars", "sys"]
    assert vmstate(selection) == "usb"
    assert selection.is_hmps_choice


def test_policy_hmp_without_an_able_disk_has_no_vmstate() -> None:
    selection = choose(Machine(drive("a", "d0", VIRTIO[0], driver="raw")), Policy(HMP))
    assert (selection.vmstate, selection.vmstate_reason) == (None, "no disk can hold the VM state")
    assert selection.is_hmps_choice


# -- the vmstate (R6) -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backends", "expected", "reason"),
    [
        ((SYS,), "sys", HMPS_CHOICE),
        ((SYS, USB), "sys", HMPS_CHOICE),
        ((SYS, FLASH), "sys", HMPS_CHOICE),
        (
            (USB, SYS),
            "sys",
            "the first fixed disk; HMP would take the removable disk 'u0', "
            "so loading by QEMU itself (-loadvm) finds no VM state there",
        ),
        (
            (FLASH, USB, SYS),
            "sys",
            "the first fixed disk; HMP would take the varstore 'pflash1', "
            "so loading by QEMU itself (-loadvm) finds no VM state there",
        ),
        ((USB,), "usb", "a removable disk, because no fixed one can hold it"),
        ((FLASH, USB), "usb", "a removable disk, because no fixed one can hold it"),
        ((FLASH,), None, "only a varstore could hold the VM state, and it never does"),
    ],
    ids=lambda value: " ".join(backend.root for backend in value) if isinstance(value, tuple) else None,
)
def test_vmstate_goes_to_the_first_fixed_disk(backends: tuple[Backend, ...], expected: str | None, reason: str) -> None:
    selection = choose(machine(*backends))
    assert (vmstate(selection), selection.vmstate_reason) == (expected, reason)
    assert selection.missing_vmstate is None
    assert selection.is_hmps_choice is (expected == backends[0].root)


def test_raw_disk_in_front_cannot_get_it() -> None:
    nodes = [*drive("data", "d1", VIRTIO[1], driver="raw"), *drive("sys", "d0", VIRTIO[0])]
    selection = choose(Machine(nodes))
    assert (vmstate(selection), selection.vmstate_reason, selection.is_hmps_choice) == ("sys", HMPS_CHOICE, True)


def test_drive_without_device_is_not_removable() -> None:
    """QEMU says "removable": true of it."""
    unattached = Machine([*drive("un", "free"), *drive("sys", "d0", VIRTIO[0])])
    assert unattached.query_block()[0]["removable"] is True
    selection = choose(unattached)
    assert (vmstate(selection), selection.is_hmps_choice) == ("un", True)


@pytest.mark.parametrize("kind", list(PolicyKind))
@pytest.mark.parametrize("name", ["data", "d1"])
def test_configured_vmstate_is_taken(name: str, kind: PolicyKind) -> None:
    selection = choose(TWO, Policy(kind, vmstate=patterns(name)))
    assert (vmstate(selection), selection.vmstate_reason) == ("data", "named by the configuration")
    assert selection.missing_vmstate is None
    assert not selection.is_hmps_choice


def test_configured_vmstate_may_name_the_device_of_a_blockdev() -> None:
    two = machine(Backend("a", "", VIRTIO[0]), Backend("b", "", "cd0"))
    assert vmstate(choose(two, Policy(vmstate=patterns("cd0")))) == "b"
    assert vmstate(choose(machine(SYS, Backend("b", "", VIRTIO[1])), Policy(vmstate=patterns(VIRTIO[1])))) == "b"


@pytest.mark.parametrize(("backends", "name"), [((FLASH, SYS), "vars"), ((USB, SYS), "u0"), ((SYS, USB), "usb")])
def test_configured_vmstate_may_be_what_the_default_shuns(backends: tuple[Backend, ...], name: str) -> None:
    selection = choose(machine(*backends), Policy(vmstate=patterns(name)))
    assert vmstate(selection) in {"vars", "usb"}
    assert selection.is_hmps_choice is (vmstate(selection) == backends[0].root)


@pytest.mark.parametrize(
    ("machine", "name", "excluded"),
    [
        (RAW_DATA, "data", ()),
        (RAW_DATA, "nope", ()),
        (RAW_DATA, "data-file", ()),
        (TWO, "data", ("d1",)),
        (Machine(uefi_vm()), "pflash1", ()),
        (Machine(uefi_vm()), "pflash0", ()),
    ],
    ids=range(6),
)
def test_configured_vmstate_that_cannot_be_is_missing(machine: Machine, name: str, excluded: tuple[str, ...]) -> None:
    selection = choose(machine, Policy(vmstate=patterns(name), exclude=patterns(*excluded)))
    assert (selection.vmstate, selection.missing_vmstate) == (None, name)
    assert selection.vmstate_reason == f"the configuration names '{name}', which no disk that can hold it matches"
    assert not selection.is_hmps_choice


def test_configured_vmstate_is_not_missed_where_no_disk_can_hold_it() -> None:
    """QEMU's own error is to come."""
    selection = choose(Machine(drive("a", "d0", VIRTIO[0], driver="raw")), Policy(vmstate=patterns("nope")))
    assert (selection.vmstate, selection.missing_vmstate) == (None, None)


@pytest.mark.parametrize(
    ("machine", "policy", "expected"),
    [
        (TWO, Policy(), True),
        (TWO, Policy(HMP), True),
        (TWO, Policy(vmstate=patterns("sys")), True),
        (TWO, Policy(vmstate=patterns("data")), False),
        (TWO, Policy(HMP, vmstate=patterns("data")), False),
        (TWO, Policy(exclude=patterns("data")), False),
        (TWO, Policy(exclude=patterns("other")), True),
        (TWO, Policy(guard=False), True),
        (Machine(uefi_vm()), Policy(), False),
        (Machine(uefi_vm()), Policy(HMP), True),
        (Machine(uefi_vm(varstore="qcow2")), Policy(), False),
        (Machine(uefi_vm(varstore="qcow2")), Policy(vmstate=patterns("vars")), True),
        (Machine(drive("a", "d0", driver="raw")), Policy(), True),
        (Machine([]), Policy(), True),
    ],
    ids=range(14),
)
def test_is_hmps_choice(machine: Machine, policy: Policy, expected: bool) -> None:
    assert choose(machine, policy).is_hmps_choice is expected


# -- what a node is -------------------------------------------------------------------------------------------------------


def _graph(qdev: str, *, removable: bool = False) -> BlockGraph:
    return machine(Backend("n", "", qdev, removable)).graph()


@pytest.mark.parametrize(
    ("qdev", "expected"),
    [
        ("/machine/system.flash0", True),
        ("/machine/system.flash12", True),
        ("/machine/virt.flash1", True),
        ("/machine/system.flash", False),
        ("/machine/system.flash1/x", False),
        ("/machine/peripheral/flash1", False),
        ("/machine/peripheral/flash0/virtio-backend", False),
        ("x/machine/system.flash1", False),
        ("flash1", False),
        (VIRTIO[0], False),
    ],
)
def test_varstore_is_known_by_the_machines_flash(qdev: str, expected: bool) -> None:
    assert is_varstore(_graph(qdev).nodes["n"]) is expected


def test_one_backend_is_enough_for_a_varstore_or_a_removable_disk() -> None:
    shared = Machine(disk("n"), [Backend("n"), Backend("n", "", FLASH_1), Backend("n", "u0", "u", removable=True)]).graph()
    assert is_varstore(shared.nodes["n"])
    assert is_removable(shared.nodes["n"])
    assert not is_varstore(shared.nodes["n-file"])
    assert not is_removable(_graph("u").nodes["n"])
    assert is_removable(_graph("u", removable=True).nodes["n"])


def test_vmstate_patterns_are_tried_in_their_order() -> None:
    assert vmstate(choose(TWO, Policy(vmstate=patterns("nope", "d1", "d0")))) == "data"


def test_included_varstore_is_taken_although_it_cannot_snapshot() -> None:
    selection = choose(Machine(uefi_vm()), Policy(include=patterns("kind:pflash")))
    assert reasons(selection)["vars"] == (True, "included by the configuration")


def test_exclusion_wins_over_inclusion() -> None:
    selection = choose(TWO, Policy(include=patterns("data"), exclude=patterns("d1")))
    assert names(selection.included) == ["sys"]


def test_include_adds_a_node_that_qemu_10_0_leaves_out() -> None:
    machine = Machine([*drive("sys", "d0", VIRTIO[0]), *disk("alone")], [Backend("sys", "d0", VIRTIO[0])])
    graph = machine.graph(version=V10_0)
    assert names(select(graph, Policy()).included) == ["sys"]
    added = select(graph, Policy(include=patterns("alone")))
    assert names(added.included) == ["sys", "alone"]
    assert added.choices[-1].reason == "included by the configuration, although HMP does not look at it"
    assert not added.is_hmps_choice


def test_include_never_adds_what_stands_below_another_node() -> None:
    assert names(choose(TWO, Policy(include=patterns("driver:*"))).included) == ["sys", "data"]


FILTERED = Machine(
    [
        Node("thr", "throttle", children={"file": "sys"}),
        *disk("sys"),
        Node("job", "mirror_top", children={"backing": "data"}),
        *disk("data"),
    ],
    [Backend("thr", "d0", VIRTIO[0]), Backend("job", "d1", VIRTIO[1])],
)


@pytest.mark.parametrize("pattern", ["sys", "node:sys", "thr", "d0", "file:*sys*"])
def test_node_below_a_filter_is_meant_by_its_own_name_too(pattern: str) -> None:
    """A job puts its filter on top of a disk, and takes it away, while the configuration stays."""
    assert names(choose(FILTERED, Policy(exclude=patterns(pattern))).included) == ["job"]
    included = reasons(choose(FILTERED, Policy(include=patterns(pattern))))
    assert included == {"thr": (True, "included by the configuration"), "job": (True, "writable disk")}
    assert unmatched(Policy(include=patterns(pattern)), FILTERED.graph()) == []


def test_vm_state_below_the_filter_of_a_job() -> None:
    assert vmstate(choose(FILTERED, Policy(vmstate=patterns("node:data")))) == "job"


@pytest.mark.parametrize("pattern", ["kind:unattached", "kind:raw", "device:data"])
def test_kind_and_device_are_of_the_node_at_the_top(pattern: str) -> None:
    assert list(map(str, unmatched(Policy(exclude=patterns(pattern)), FILTERED.graph()))) == [pattern]


def test_included_part_of_a_disk_says_why_that_has_no_effect() -> None:
    policy = Policy(include=patterns("node:sys-file"))
    selection = choose(TWO, policy)
    assert reasons(selection)["sys-file"] == (
        False, "'node:sys-file' includes it, which snapshots take as a part of 'd0'; name that",
    )  # fmt: skip
    assert names(selection.included) == ["sys", "data"]
    (pattern,) = unmatched(policy, TWO.graph())
    assert why_unmatched(pattern, TWO.graph()) == (
        "'node:sys-file' matches 'sys-file' only, which snapshots take as a part of 'd0'; name that"
    )


def test_included_node_that_belongs_to_nothing_that_is_taken() -> None:
    """QEMU 10.0 does not look at it, and it is read-only."""
    alone = Node("iso", "raw", ro=True)
    nodes = [alone, *disk("sys"), *disk("data")]
    graph = Machine(nodes, [Backend("sys", "", VIRTIO[0]), Backend("data", "", VIRTIO[1])]).graph(V10_0)
    (pattern,) = unmatched(Policy(include=patterns("iso")), graph)
    assert why_unmatched(pattern, graph) == "'iso' matches 'iso' only, which belongs to no disk that snapshots take"


def test_pattern_of_nothing_says_what_there_is() -> None:
    (pattern,) = patterns("typo")
    there = "d0, d1, data-file, sys-file"
    assert why_unmatched(pattern, TWO.graph()) == f"'typo' matches no block node of the VM, which has {there}"
    assert why_unmatched(pattern, BlockGraph({}, ())) == "'typo' matches no block node of the VM, which has none"


def test_pattern_that_matches_nothing_is_found() -> None:
    policy = Policy(vmstate=patterns("sys", "typo"), include=patterns("file:/nowhere/*"), exclude=patterns("kind:pflash", "d1"))
    assert list(map(str, unmatched(policy, TWO.graph()))) == ["typo", "file:/nowhere/*", "kind:pflash"]

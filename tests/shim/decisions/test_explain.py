"""A rehearsed plan as text for a terminal, and as JSON: whole outputs."""

import json
from dataclasses import replace
from typing import Final

import pytest

from shim.decisions.explain import UNLESS_DEVICES_DIFFER, to_json, to_text
from shim.graph.policy import Policy, PolicyKind, WhenFull
from shim.hmp.line import HMPLine
from shim.plans.plan import Context, PassThrough
from shim.plans.rehearsal import Rehearsal
from shim.plans.repairs import Fault, FaultKind, Repair, TypedLine, Where
from tests.support.shim.graphs import V10_0, VIRTIO, Backend, Machine, Node, disk, drive, patterns, rows
from tests.support.shim.snapshot_plans import WITH_HMP, context, raw_data, two, uefi
from tests.support.shim.stage import rehearsed

UNCHANGED: Final = "Nothing was changed; only queries were sent."


def text(machine: Machine, line: str, using: Context | None = None) -> str:
    return to_text(HMPLine.read(line), rehearsed(machine, line, using))


SAVEVM_ON_UEFI: Final = """\
plan of: savevm t

       NODE        DEVICE   FORMAT  SIZE   WRITABLE  SNAPSHOTS          WHY
-      code        pflash0  raw     8 MiB  no        -                  read-only
-      vars        pflash1  raw     8 MiB  yes       -                  varstore of format raw, which cannot hold a snapshot
takes  disk0       d0       qcow2   8 MiB  yes       t (VM state), old  writable disk
-      code-file   -        file    8 MiB  no        -                  part of another node; HMP does not look at it
-      vars-file   -        file    8 MiB  yes       -                  part of another node; HMP does not look at it
-      disk0-file  -        file    8 MiB  yes       -                  part of another node; HMP does not look at it

VM state: disk0 (HMP's choice: the first disk that can hold a snapshot)
QEMU itself (-loadvm, or a revert by libvirt before 10.10) could not load it: 'pflash1' is writable and cannot hold a snapshot.

It replaces the snapshot of this name on disk0.

QMP commands that would run:
    {"execute": "snapshot-save", "arguments": {"job-id": "job-1", "tag": "job-2-t", "vmstate": "disk0", "devices": ["disk0"]}}
    {"execute": "query-jobs", "arguments": {}}
    {"execute": "snapshot-delete", "arguments": {"job-id": "job-3", "tag": "t", "devices": ["disk0"]}}
    {"execute": "query-jobs", "arguments": {}}
    {"execute": "job-dismiss", "arguments": {"id": "job-3"}}
    {"execute": "snapshot-save", "arguments": {"job-id": "job-4", "tag": "t", "vmstate": "disk0", "devices": ["disk0"]}}
    {"execute": "query-jobs", "arguments": {}}
    {"execute": "job-dismiss", "arguments": {"id": "job-4"}}
    {"execute": "snapshot-delete", "arguments": {"job-id": "job-5", "tag": "job-2-t", "devices": ["disk0"]}}
    {"execute": "query-jobs", "arguments": {}}
    {"execute": "job-dismiss", "arguments": {"id": "job-5"}}
    {"execute": "job-dismiss", "arguments": {"id": "job-1"}}

The client would get "" (success).
Nothing was changed; only queries were sent."""


def test_text_of_a_savevm() -> None:
    tags = [*rows("t", vm_state=True), *rows("old", first_id=2)]
    assert text(uefi(on_disk=tags), "savevm t") == SAVEVM_ON_UEFI


LOADVM_REFUSED: Final = """\
plan of: loadvm t

       NODE    DEVICE  FORMAT  SIZE   WRITABLE  SNAPSHOTS                   WHY
takes  a       d0      qcow2   8 MiB  yes       t (VM state), t (VM state)  writable disk
takes  b       d1      qcow2   8 MiB  yes       t                           writable disk
-      a-file  -       file    8 MiB  yes       -                           part of another node; HMP does not look at it
-      b-file  -       file    8 MiB  yes       -                           part of another node; HMP does not look at it

VM state: a (it holds the VM state of 't')

It would be refused: Error: 'd0' has 2 snapshots named 't', and loading would silently take the oldest. \
Remove the older ones (QMP snapshot-delete with tag 't' and devices ['a'] removes the oldest), \
or replace them all with savevm
Nothing was changed; only queries were sent."""


def test_text_of_a_refusal() -> None:
    assert text(two(rows("t", "t", vm_state=True), rows("t")), "loadvm t") == LOADVM_REFUSED


INFO_SNAPSHOTS: Final = """\
VM state: disk0 (HMP's choice: the first disk that can hold a snapshot)

The client would get:
List of snapshots present on all disks:
ID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT
--        t                     0 B 1970-01-01 00:00:00 00:00:00.000
Nothing was changed; only queries were sent."""


def test_text_of_a_table() -> None:
    """It stands in lines of its own, without carriage returns."""
    shown = text(uefi(on_disk=rows("t")), "info snapshots")
    assert shown.endswith("\n\n" + INFO_SNAPSHOTS)
    assert "\r" not in shown


@pytest.mark.parametrize(
    ("machine", "line", "ending"),
    [
        (two(), "delvm t", 'The client would get "" (success).'),
        (two(rows("t", vm_state=True), rows("t")), "loadvm t", f'The client would get "" (success), {UNLESS_DEVICES_DIFFER}.'),
        (raw_data(), "savevm t", "The client would get: Error: Device 'd1' is writable but does not support snapshots"),
        (two(), "info snapshots", "QEMU would get the command as it is: the policy chooses what HMP chooses."),
    ],
    ids=["success", "load", "HMP's error", "left to QEMU"],
)
def test_endings(machine: Machine, line: str, ending: str) -> None:
    assert text(machine, line, context(commands=WITH_HMP)).endswith(f"\n\n{ending}\n{UNCHANGED}")


def test_delvm_needs_no_vm_state() -> None:
    assert "\n\nVM state: on no node (delvm needs none)\n\n" in text(two(), "delvm t")


def test_text_where_there_is_no_disk() -> None:
    reason = "QEMU would get the command as it is: there is no writable disk."
    assert text(Machine([]), "delvm t") == f"plan of: delvm t\n\nThere are no block nodes.\n\n{reason}\n{UNCHANGED}"


def test_text_where_nothing_was_asked() -> None:
    rehearsal = Rehearsal(PassThrough("it is no command of ours"), None, [], None)
    reason = "QEMU would get the command as it is: it is no command of ours."
    first = "plan of: stop\n\nQEMU was not asked for its block nodes."
    assert to_text(HMPLine.read("stop"), rehearsal) == f"{first}\n\n{reason}\n{UNCHANGED}"


def reasons(rehearsal: Rehearsal) -> dict[str, str]:
    return {node["node"]: node["reason"] for node in to_json(HMPLine.read(""), rehearsal)["nodes"]}


def test_nothing_is_decided_where_qemu_answers() -> None:
    found = reasons(rehearsed(Machine(disk("a", device="d0", qdev=VIRTIO[0], ro=True)), "savevm t"))
    assert found == {"a": "it was not considered", "a-file": "part of another node; HMP does not look at it"}


def test_node_that_qemu_10_0_leaves_out() -> None:
    """It is part of no other."""
    machine = Machine([*disk("lone"), *disk("a")], [Backend("a", "", VIRTIO[0])])
    found = reasons(rehearsed(machine, "delvm t", context(version=V10_0)))
    assert (found["lone"], found["a"]) == ("HMP does not look at it", "writable disk")


def test_node_that_the_policy_adds_is_among_the_nodes() -> None:
    machine = Machine([*disk("lone"), *disk("a")], [Backend("a", "", VIRTIO[0])])
    using = context(Policy(include=patterns("lone")), version=V10_0)
    found = to_json(HMPLine.read("delvm t"), rehearsed(machine, "delvm t", using))
    assert [(node["node"], node["included"]) for node in found["nodes"]][:2] == [("a", True), ("lone-file", False)]
    assert {node["node"]: node["reason"] for node in found["nodes"]}["lone"] == (
        "included by the configuration, although HMP does not look at it"
    )


SAVEVM_JSON: Final = {
    "command_line": "savevm t",
    "nodes": [
        {
            "size_bytes": 8 * 1024 * 1024,
            "writable": True,
            "file": "a.img",
            "snapshots": [
                {"id": "1", "name": "old", "vm_state_size": 421_000},
                {"id": "2", "name": "older", "vm_state_size": 421_000},
            ],
            "node": "a",
            "device": "d0",
            "format": "qcow2",
            "included": True,
            "reason": "HMP takes every writable disk",
        },
        {
            "size_bytes": 8 * 1024 * 1024,
            "writable": True,
            "file": "a.img",
            "snapshots": [],
            "node": "a-file",
            "device": None,
            "format": "file",
            "included": False,
            "reason": "part of another node; HMP does not look at it",
        },
    ],
    "vmstate": {"node": "a", "reason": "HMP's choice: the first disk that can hold a snapshot"},
    "native_load": None,
    "replaces": [],
    "unmatched": [],
    "qmp": [
        {"execute": "snapshot-save", "arguments": {"job-id": "job-1", "tag": "t", "vmstate": "a", "devices": ["a"]}},
        {"execute": "query-jobs", "arguments": {}},
        {"execute": "job-dismiss", "arguments": {"id": "job-1"}},
    ],
    "outcome": {"kind": "rewritten", "reason": "done by snapshot jobs", "text": ""},
}


def test_json_of_a_savevm() -> None:
    nodes = disk("a", device="d0", qdev=VIRTIO[0], snapshots=rows("old", "older", vm_state=True))
    rehearsal = rehearsed(Machine(nodes), "savevm t", context(Policy(PolicyKind.HMP)))
    plan_as_json = to_json(HMPLine.read("savevm t"), rehearsal)
    assert plan_as_json == SAVEVM_JSON
    assert json.loads(json.dumps(plan_as_json)) == plan_as_json


@pytest.mark.parametrize(
    ("machine", "line", "outcome"),
    [
        (two(), "delvm t", {"kind": "rewritten", "reason": "done by snapshot jobs", "text": ""}),
        (
            two(),
            "loadvm t",
            {
                "kind": "rewritten",
                "reason": "the snapshot job failed",
                "text": "Error: Snapshot 't' does not exist in one or more devices\r\n",
            },
        ),
        (two(), "info snapshots", {"kind": "passed", "reason": "the policy chooses what HMP chooses", "text": None}),
        (Machine([]), "savevm t", {"kind": "passed", "reason": "there is no writable disk", "text": None}),
    ],
)
def test_outcomes_in_json(machine: Machine, line: str, outcome: object) -> None:
    rehearsal = rehearsed(machine, line, context(commands=WITH_HMP))
    assert to_json(HMPLine.read(line), rehearsal)["outcome"] == outcome


def test_refusal_in_json() -> None:
    outcome = to_json(HMPLine.read("loadvm t"), rehearsed(two(rows("t", "t", vm_state=True), rows("t")), "loadvm t"))["outcome"]
    assert outcome["kind"] == "refused"
    assert outcome["text"] == f"Error: {outcome['reason']}\r\n"


def test_large_nodes_are_shown_in_units() -> None:
    machine = Machine([Node("a", device="d0", qdev=VIRTIO[0], size_bytes=40 * 1024**3)])
    assert "  40 GiB  " in text(machine, "savevm t")


# -- what a person wants to know beside the nodes -------------------------------------------------------------------------


def test_replaced_snapshot_is_told_wherever_it_is() -> None:
    machine = two(rows("t", vm_state=True), rows("t"))
    assert "It replaces the snapshot of this name on a, b." in text(machine, "savevm t")
    assert to_json(HMPLine.read("savevm t"), rehearsed(machine, "savevm t"))["replaces"] == ["a", "b"]


@pytest.mark.parametrize("line", ["savevm new", "savevm", "loadvm t", "delvm t"])
def test_nothing_is_replaced_by_another_command(line: str) -> None:
    assert "replaces" not in text(two(rows("t", vm_state=True), rows("t")), line)


def test_nothing_is_replaced_by_a_savevm_that_fails() -> None:
    assert "It replaces" not in text(raw_data(rows("t", vm_state=True)), "savevm t")


def test_patterns_that_fit_nothing_are_told() -> None:
    using = context(Policy(vmstate=patterns("d1", "d9"), exclude=patterns("usbstick", "kind:removable")))
    told = "\nPatterns of the policy that fit no node of the VM now: d9, usbstick, kind:removable\n"
    assert told in text(two(), "savevm t", using)
    assert to_json(HMPLine.read("savevm t"), rehearsed(two(), "savevm t", using))["unmatched"] == [
        "d9",
        "usbstick",
        "kind:removable",
    ]
    assert "Patterns" not in text(two(), "savevm t", context(Policy(vmstate=patterns("d1"))))


@pytest.mark.parametrize(
    ("machine", "policy", "cause"),
    [
        (uefi("qcow2"), Policy(), "it looks for the VM state on another disk"),
        (uefi("raw"), Policy(), "'pflash1' is writable and cannot hold a snapshot"),
        (two(), Policy(exclude=patterns("d1")), "'d1' will lack it"),
        (two(), Policy(vmstate=patterns("d1")), "it looks for the VM state on another disk"),
    ],
)
def test_what_qemu_itself_could_not_load_is_told(machine: Machine, policy: Policy, cause: str) -> None:
    told = f"QEMU itself (-loadvm, or a revert by libvirt before 10.10) could not load it: {cause}"
    assert f"\n{told}.\n" in text(machine, "savevm t", context(policy))
    assert to_json(HMPLine.read("savevm t"), rehearsed(machine, "savevm t", context(policy)))["native_load"] == told


@pytest.mark.parametrize("machine", [two(), raw_data()], ids=["two disks", "one of them unable"])
def test_what_qemu_itself_could_load_is_not_talked_about(machine: Machine) -> None:
    """With a disk that cannot hold a snapshot there will be none to load."""
    assert "QEMU itself" not in text(machine, "savevm t")


HOSTILE: Final = "\x1b[2J\nhmp-proxy: \x9b1m\u202e"


@pytest.mark.parametrize("line", ['savevm "\x1b[2J\x9b"', "savevm t", 'loadvm "x"'], ids=ascii)
def test_no_text_of_others_reaches_a_terminal(line: str) -> None:
    """A node's name, a device's, a tag's."""
    nodes = [*drive("a", HOSTILE, VIRTIO[0], tags=rows(HOSTILE, "t", "x")), *drive(f"b{HOSTILE}", "d1", VIRTIO[1])]
    found = text(Machine(nodes), line)
    assert r"\x1b[2J" in found
    assert found.replace("\n", "").isprintable()


DELETES: Final = Policy(max_snapshots=2, when_full=WhenFull.DELETE_OLDEST, delete_prefix="auto-")


def test_what_goes_for_a_new_snapshot_is_told() -> None:
    machine, using = two(rows("auto-1", "auto-\n2"), rows("auto-1", "auto-\n2")), context(replace(DELETES, max_snapshots=1))
    found = to_json(HMPLine.read("savevm t"), rehearsed(machine, "savevm t", using))
    assert (found["deletes"], found["replaces"]) == (["auto-1", "auto-\n2"], [])
    shown = text(machine, "savevm t", using)
    told = r"Once it is saved, the oldest go, because the setting max_snapshots is reached: 'auto-1', 'auto-\n2'."
    assert f"\n\n{told}\n\nQMP commands that would run:\n" in shown
    assert shown.endswith(f'The client would get "" (success).\n{UNCHANGED}')


def test_what_could_not_be_checked_is_told() -> None:
    using = context(Policy(check_space=True))
    found = to_json(HMPLine.read("savevm t"), rehearsed(two(), "savevm t", using))
    remark = "the free space was not checked: the path of the image of 'd0' means nothing outside QEMU: 'a.img'"
    assert found["remark"] == remark
    assert f"\n\nT{remark[1:]}.\n\n" in text(two(), "savevm t", using)


def test_members_about_limits_are_there_only_where_there_is_something() -> None:
    found = to_json(HMPLine.read("savevm t"), rehearsed(two(rows("a"), rows("a")), "savevm t", context(DELETES)))
    assert found.keys() & {"deletes", "remark"} == set()


FAULTS: Final = (
    Fault(
        FaultKind.PARTIAL,
        "missing on d1; " + "loadvm says that it does not exist in one or more devices; " * 2,
        (
            Repair((TypedLine(("device_del", "v1")), TypedLine(("delvm",), "a b")), "unplugs " * 20),
            Repair((TypedLine(("--exclude", "d1")),), "leaves it out", Where.OPTION),
            Repair((), "make room"),
        ),
    ),
    Fault(FaultKind.UNABLE, "why\x1b"),
)

ADVICE: Final = """\

What is in the way, and what to type at the hmp> prompt:
  ! partial: missing on d1; loadvm says that it does not exist in one or more
    devices; loadvm says that it does not exist in one or more devices;
    repair: device_del v1
    then: delvm "a b"
      unplugs unplugs unplugs unplugs unplugs unplugs unplugs unplugs unplugs
      unplugs unplugs unplugs unplugs unplugs unplugs unplugs unplugs unplugs
      unplugs unplugs
    or (option): --exclude d1
      leaves it out
    or: make room
  ! unable: why\\x1b

"""


def test_advice_is_told_after_the_outcome() -> None:
    """Its lines to type are not wrapped; its prose fits a terminal."""
    advised = replace(rehearsed(two(rows("t"), []), "loadvm t"), faults=FAULTS)
    told = to_text(HMPLine.read("loadvm t"), advised)
    assert told.endswith(f"does not exist in one or more devices\n{ADVICE}{UNCHANGED}")


def test_advice_in_json() -> None:
    advised = replace(rehearsed(two(rows("t"), []), "loadvm t"), faults=FAULTS)
    members = to_json(HMPLine.read("loadvm t"), advised)["advice"]
    assert members[0]["ways"][0]["lines"] == ["device_del v1", 'delvm "a b"']
    assert [way["where"] for way in members[0]["ways"]] == ["prompt", "option", "prompt"]
    assert members[1] == {"kind": "unable", "text": "why\x1b", "ways": []}
    assert "advice" not in to_json(HMPLine.read("loadvm t"), rehearsed(two(rows("t"), []), "loadvm t"))

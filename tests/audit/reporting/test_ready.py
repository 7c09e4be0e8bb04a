"""The QMP to send in place of a recorded command."""

import json
from typing import Any

import pytest

from audit.reporting.parties import VM
from audit.reporting.ready import Example, Ready, make_ready

ON = VM("h1", "vm1")


def commands(line: str, **members: Any) -> list[Any]:
    found = make_ready(Example(ON, line, **members))
    return [] if found is None else [json.loads(command) for command in found.commands]


def job(name: str, tag: str, **arguments: Any) -> list[Any]:
    return [{"execute": name, "arguments": {"job-id": "job0", "tag": tag, **arguments}}]


def test_snapshot_is_made_as_the_shim_made_it() -> None:
    sent = ("snapshot-save", {"job-id": "hmpshim-7", "tag": "t1", "vmstate": "d1", "devices": ["d0", "d1"]})
    found = commands("savevm t1", nodes=("d0",), vmstate="d0", sent=(sent,))
    assert found == job("snapshot-save", "t1", vmstate="d1", devices=["d0", "d1"])


def test_name_that_a_replacement_has_in_between_is_not_meant() -> None:
    between = ("snapshot-save", {"job-id": "a", "tag": "hmpshim-tmp", "vmstate": "d0", "devices": ["d0"]})
    other = ("snapshot-delete", {"job-id": "b", "tag": "t1", "devices": ["d0"]})
    found = commands("savevm t1", nodes=("d0",), vmstate="d0", sent=(between, other))
    assert found == job("snapshot-save", "t1", vmstate="d0", devices=["d0"])
    assert commands("savevm t1", sent=(("snapshot-save", None),)) == []


def test_where_nothing_was_sent_the_nodes_of_the_record_are_taken() -> None:
    taken: dict[str, Any] = {"nodes": ("d0", "d1"), "vmstate": "d0"}
    assert commands("loadvm t1", **taken) == job("snapshot-load", "t1", vmstate="d0", devices=["d0", "d1"])
    assert commands("delvm t1", nodes=("d0",)) == job("snapshot-delete", "t1", devices=["d0"])
    ((found,),) = [commands("savevm", **taken)]
    assert found["arguments"]["tag"].startswith("vm-")


@pytest.mark.parametrize("line", ["savevm t1", "loadvm t1", "delvm t1", "savevm a b", "info snapshots x"])
def test_nothing_is_made_up_where_no_nodes_are_known(line: str) -> None:
    assert make_ready(Example(ON, line)) is None
    assert make_ready(None) is None


def test_snapshots_are_asked_of_the_nodes() -> None:
    assert commands("info snapshots") == [{"execute": "query-named-block-nodes", "arguments": {"flat": True}}]


def test_other_commands_are_translated() -> None:
    assert make_ready(Example(ON, "  stop ")) == Ready(ON, "stop", ('{"execute": "stop"}',))
    assert commands("device_del d0") == [{"execute": "device_del", "arguments": {"id": "d0"}}]
    assert make_ready(Example(ON, "frobnicate")) is None


def test_name_that_qemu_made_up_is_told_to_be_none() -> None:
    found = make_ready(Example(ON, "savevm t1", nodes=("#block1",), vmstate="#block1"))
    assert found is not None
    assert found.note == "a name with # changes at each start of QEMU: give the disk a node-name"
    sent = ("snapshot-delete", {"tag": "t1", "devices": 5})
    assert commands("delvm t1", sent=(sent,)) == job("snapshot-delete", "t1", devices=5)


def test_long_line_is_shortened() -> None:
    found = make_ready(Example(ON, "sendkey " + "-".join(["a"] * 200)))
    assert found is not None
    assert len(found.command_line) == 100

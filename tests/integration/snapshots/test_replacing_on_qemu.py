"""A tag that exists is saved anew on a real QEMU: what clients see of it, and what is left on the disks."""

import json
from collections.abc import Sequence
from typing import Any, Final

import pytest

from tests.integration.uefi_machine import DISK, FLASH, RAW_VARS, SECOND_DISK, UEFIVM, proxied
from tests.support.raw_client import command_bytes

pytestmark = pytest.mark.versions

SAFE_STEPS: Final = ["snapshot-save", "snapshot-delete", "snapshot-save", "snapshot-delete"]


def savevm(uefi: UEFIVM, tag: str = "t") -> tuple[list[str], str]:
    """Save, and give the events that the client saw before the answer, and the answer."""
    uefi.client.send(command_bytes("human-monitor-command", {"command-line": f"savevm {tag}"}))
    *events, answer = [json.loads(raw) for raw in uefi.client.read_until_reply()]
    return [event["event"] for event in events], answer["return"]


def jobs_of(record: dict[str, Any]) -> list[str]:
    return [sent["execute"] for sent in record["qmp"] if sent["execute"].startswith("snapshot-")]


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
def test_safe_way_looks_like_one_savevm_and_leaves_one_snapshot(paused: bool) -> None:
    with proxied(FLASH, RAW_VARS, DISK, SECOND_DISK, paused=paused) as uefi, uefi.proxy.negotiated() as other:
        events = [] if paused else ["STOP", "RESUME"]
        for pattern in (0xAA, 0xBB):
            uefi.write(pattern, "d0", "d1")
            assert savevm(uefi) == (events, "")
            other.send(command_bytes("query-name"))
            seen = [json.loads(raw) for raw in other.read_until_reply()]
            assert [value["event"] for value in seen if "event" in value] == events
        record = next(one for one in reversed(uefi.proxy.records) if one["command_line"] == "savevm t")
        assert (record["action"], jobs_of(record)) == ("rewritten", SAFE_STEPS)
        assert [event["event"] for event in record["events"]] == events * 2
        assert (uefi.snapshots("d0.qcow2"), uefi.snapshots("d1.qcow2")) == ([("t", True)], [("t", False)])
        assert other.returned("query-jobs") == []
        uefi.write(0xCC, "d0", "d1")
        assert uefi.client.hmp("loadvm t") == ""
        assert uefi.patterns("d0", "d1") == [0xBB, 0xBB]


def test_qemus_own_savevm_replaces_where_the_choice_is_hmps() -> None:
    with proxied(DISK, SECOND_DISK) as uefi:
        for pattern in (0xAA, 0xBB):
            uefi.write(pattern, "d0", "d1")
            assert savevm(uefi) == (["STOP", "RESUME"], "")
        record = uefi.proxy.records[-1]
        assert (record["action"], jobs_of(record)) == ("delegated", [])
        assert record["reason"] == "QEMU's own savevm replaces the snapshot in one step"
        assert (uefi.snapshots("d0.qcow2"), uefi.snapshots("d1.qcow2")) == ([("t", True)], [("t", False)])
        assert uefi.client.hmp("loadvm t") == ""
        assert uefi.patterns("d0", "d1") == [0xBB, 0xBB]


@pytest.mark.parametrize("options", [(), ("--overwrite", "replace")], ids=["safe", "replace"])
def test_tag_that_a_disk_has_twice_is_there_once_afterwards(options: Sequence[str]) -> None:
    with proxied(FLASH, RAW_VARS, DISK, SECOND_DISK, options=options) as uefi:
        assert savevm(uefi)[1] == ""
        node = {row["device"]: row["node"] for row in uefi.proxy.records[-1]["nodes"]}
        assert uefi.client.hmp("delvm t") == ""
        # The job refuses a tag that all its disks have; where one lacks it, the others get it once more.
        for number, devices in enumerate((["d1"], ["d1", "d0"])):
            nodes = [node[device] for device in devices]
            uefi.client.returned("snapshot-save", {"job-id": f"j{number}", "tag": "t", "vmstate": nodes[0], "devices": nodes})
            uefi.client.returned("job-dismiss", {"id": f"j{number}"})
        assert [tag for tag, _ in uefi.snapshots("d1.qcow2")] == ["t", "t"]
        assert savevm(uefi)[1] == ""
        assert (uefi.snapshots("d0.qcow2"), uefi.snapshots("d1.qcow2")) == ([("t", True)], [("t", False)])

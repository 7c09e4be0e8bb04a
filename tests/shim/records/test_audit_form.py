"""The audit record's JSON form."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from shim.client import Client
from shim.graph.policy import Policy
from shim.graph.selection import select
from shim.plans.plan import Decided
from shim.qmp import JSON, ErrorReply, Reply, ReturnReply
from shim.records.audit import Action, SeenEvent, SentCommand
from shim.records.audit_form import SCHEMA_VERSION, to_json, to_members
from shim.records.identity import Identified, Identity, Parent
from tests.support.audit.written_records import MS, QUERY, TIME, record, whole_record
from tests.support.shim.graphs import Machine, uefi_vm


def members(**changes: Any) -> dict[str, Any]:
    decoded = json.loads(to_json(record(**changes), host="node7"))
    assert isinstance(decoded, dict)
    return decoded


def test_every_member_of_a_record() -> None:
    assert json.loads(to_json(whole_record(), host="node7", lost_before=3)) == {
        "schema": SCHEMA_VERSION,
        "time": "2026-11-23T17:18:06.436083Z",
        "host": "node7",
        "vm": "vm1",
        "client": {
            **{"pid": 4242, "uid": 1000, "user": None, "exe": "/usr/bin/tool", "argv": [], "tool": None, "unit": None},
            **{"container": None, "parent": None, "address": None, "connected_as": None, "prompt": False},
        },
        "execute": "human-monitor-command",
        "command_line": "savevm t1",
        "hmp_command": "savevm",
        "action": "rewritten",
        "reason": "done by snapshot jobs",
        "nodes": [
            {"node": "code", "device": "pflash0", "format": "raw", "included": False, "reason": "read-only"},
            {
                "node": "vars",
                "device": "pflash1",
                "format": "raw",
                "included": False,
                "reason": "varstore of format raw, which cannot hold a snapshot",
            },
            {"node": "disk0", "device": "d0", "format": "qcow2", "included": True, "reason": "writable disk"},
        ],
        "vmstate": {"node": "disk0", "reason": "HMP's choice: the first disk that can hold a snapshot"},
        "qmp": [
            {"execute": "query-block", "arguments": {}, "duration_ms": 2.0, "return_bytes": 4000},
            {
                "execute": "snapshot-save",
                "arguments": {"job-id": "hmpshim-1", "tag": "t1", "vmstate": "disk0", "devices": ["disk0"]},
                "duration_ms": 30.0,
                "return": {},
            },
            {"execute": "query-jobs", "arguments": {}, "duration_ms": 1.235, "error": {"class": "GenericError", "desc": "no"}},
            {"execute": "job-dismiss", "arguments": {"id": "hmpshim-1"}, "duration_ms": 0.0, "lost": True},
        ],
        "rehearsed": None,
        "events": [{"event": "STOP", "after_ms": 5.0}, {"event": "RESUME", "after_ms": 30.0}],
        "stopped_ms": 25.0,
        "reply": {"return": "", "id": "x"},
        "failed": False,
        "after_failure": None,
        "duration_ms": 40.0,
        "client_gone": False,
        "lost_before": 3,
        "repeated": 0,
        "housekeeping": False,
        "cut": [],
    }


def test_record_is_one_line_of_ascii() -> None:
    line = to_json(record(command_line='savevm "é\n\x7f😀"'), host="é")
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line)["command_line"] == 'savevm "é\n\x7f😀"'


@pytest.mark.parametrize("action", list(Action))
def test_types_are_the_same_for_every_action(action: Action) -> None:
    found = {name: type(value) for name, value in members(action=action).items()}
    assert found == {
        "schema": int,
        "time": str,
        "host": str,
        "vm": str,
        "client": dict,
        "execute": str,
        "command_line": str,
        "hmp_command": str,
        "action": str,
        "reason": str,
        "nodes": list,
        "vmstate": type(None),
        "qmp": list,
        "rehearsed": type(None),
        "events": list,
        "stopped_ms": float,
        "reply": dict,
        "failed": bool,
        "after_failure": type(None),
        "duration_ms": float,
        "client_gone": bool,
        "lost_before": int,
        "repeated": int,
        "housekeeping": bool,
        "cut": list,
    }
    assert members(action=action)["action"] == action.value


def test_recovered_job_has_neither_client_nor_command_nor_reply() -> None:
    found = members(action=Action.RECOVERED, client=Client(), command_line=None, reply=None)
    unknown = dict.fromkeys(("pid", "uid", "user", "exe", "tool", "unit", "container", "parent", "address", "connected_as"))
    assert found["client"] == unknown | {"argv": [], "prompt": False}
    assert (found["command_line"], found["reply"], found["nodes"], found["vmstate"]) == (None, None, [], None)


def test_what_is_known_of_a_client_is_looked_up_when_the_record_is_spelled() -> None:
    parent = Parent(7, "/usr/bin/bash", ("bash", "/opt/nightly.sh"))
    identity = Identity("backup", "nightly.sh", ("socat", "-"), "backup.service", "lxc:web", parent)
    assert members(identify=Identified(identity))["client"] == {
        **{"pid": 4242, "uid": 1000, "user": "backup", "exe": "/usr/bin/tool", "argv": ["socat", "-"]},
        **{"tool": "nightly.sh", "unit": "backup.service", "container": "lxc:web"},
        "parent": {"pid": 7, "exe": "/usr/bin/bash", "argv": ["bash", "/opt/nightly.sh"]},
        **{"address": None, "connected_as": None, "prompt": False},
    }


def test_client_on_tcp_is_the_process_at_the_other_end() -> None:
    identity = Identity(user="backup", process=Client(7, 34, "/usr/bin/socat"))
    found = members(client=Client(address="tcp:127.0.0.1:5000"), identify=Identified(identity))["client"]
    assert (found["pid"], found["uid"], found["exe"]) == (7, 34, "/usr/bin/socat")
    assert (found["user"], found["address"]) == ("backup", "tcp:127.0.0.1:5000")


def test_prompt_is_hmp_repl_whatever_its_process_is_called() -> None:
    found = members(is_prompt=True, command_line="savevm t1", identify=Identified(Identity(tool="python3")))
    assert (found["client"]["tool"], found["client"]["prompt"], found["housekeeping"]) == ("hmp-repl", True, False)


@pytest.mark.parametrize(("line", "is_housekeeping"), [("help", True), ("? info", True), ("info help", False), (None, False)])
def test_help_of_the_prompt_is_housekeeping(line: str | None, is_housekeeping: bool) -> None:
    assert members(is_prompt=True, command_line=line)["housekeeping"] is is_housekeeping
    assert members(command_line=line)["housekeeping"] is False


def test_command_that_needs_no_vmstate_has_the_reason() -> None:
    found = members(decided=Decided((), None, "delvm needs none"))
    assert found["vmstate"] == {"node": None, "reason": "delvm needs none"}
    assert found["nodes"] == []


def test_record_says_what_qemu_itself_could_not_load() -> None:
    reason = members(decided=Decided((), "n", "named", "QEMU itself could not load it"))["vmstate"]["reason"]
    assert reason == "named; QEMU itself could not load it"


def test_node_of_a_blockdev_has_no_device() -> None:
    nodes = [node for node in uefi_vm() if node.name.startswith("disk0")]
    nodes[1].device = ""
    selection = select(Machine(nodes).graph(), Policy())
    (node,) = members(decided=Decided(selection.choices, None, ""))["nodes"]
    assert (node["node"], node["device"]) == ("disk0", None)


@pytest.mark.parametrize(
    "zone", [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))], ids=["UTC", "+5:30", "-8"]
)
def test_time_is_in_utc_whatever_zone_it_came_in(zone: timezone) -> None:
    assert members(time=TIME.astimezone(zone))["time"] == "2026-11-23T17:18:06.436083Z"
    assert members(time=datetime(2026, 1, 2, tzinfo=UTC))["time"] == "2026-01-02T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("events", "stopped_ms"),
    [
        ([], 0),
        ([("STOP", 5), ("RESUME", 30)], 25),
        ([("STOP", 5)], 35),
        ([("RESUME", 5)], 0),
        ([("STOP", 5), ("RESUME", 10), ("STOP", 12), ("RESUME", 20)], 13),
        ([("STOP", 5), ("RESUME", 10), ("STOP", 12)], 33),
        ([("STOP", 5), ("STOP", 10), ("RESUME", 20)], 15),
        ([("RESUME", 1), ("STOP", 5), ("RESUME", 6), ("RESUME", 9)], 1),
        ([("STOP", 0), ("RESUME", 40)], 40),
    ],
    ids=lambda value: " ".join(f"{name}@{ms}" for name, ms in value) if isinstance(value, list) else None,
)
def test_time_the_vm_stood_still(events: Sequence[tuple[str, int]], stopped_ms: int) -> None:
    """A STOP without its RESUME lasts to the end of the command, at 40 ms."""
    found = record(events=[SeenEvent(name, ms * MS) for name, ms in events])
    assert found.stopped_ns == stopped_ms * MS
    assert json.loads(to_json(found, host="node7"))["stopped_ms"] == stopped_ms


@pytest.mark.parametrize(
    ("reply", "size", "outcome"),
    [
        (ReturnReply({"a": 1}), 1024, {"return": {"a": 1}}),
        (ReturnReply({"a": 1}), 1025, {"return_bytes": 1025}),
        (ReturnReply(None), 20, {"return": None}),
        (ErrorReply("GenericError", "x"), 5000, {"error": {"class": "GenericError", "desc": "x"}}),
        (None, 0, {"lost": True}),
    ],
    ids=["kept", "long", "null", "long error", "lost"],
)
def test_long_reply_is_counted_and_not_kept(reply: Reply | None, size: int, outcome: JSON) -> None:
    (found,) = members(sent=[SentCommand(QUERY, MS, reply, size)])["qmp"]
    assert found == {"execute": "query-jobs", "arguments": {}, "duration_ms": 1.0} | outcome


def test_durations_are_rounded_to_microseconds() -> None:
    assert members(duration_ns=1_234_567)["duration_ms"] == 1.235
    assert members(duration_ns=499)["duration_ms"] == 0.0


@pytest.mark.parametrize(
    ("command_line", "name"),
    [
        ("savevm t1", "savevm"),
        ("  info  block -v", "info block"),
        ("info", "info"),
        ("x/4xw 0", "x"),
        ("", ""),
        (None, None),
    ],
)
def test_name_of_the_hmp_command(command_line: str | None, name: str | None) -> None:
    assert members(command_line=command_line)["hmp_command"] == name


NO_SNAPSHOT = "Error: Snapshot 't1' does not exist in one or more devices\r\n"


@pytest.mark.parametrize(
    ("command_line", "reply", "failed", "only_in_text"),
    [
        ("savevm t1", {"return": ""}, False, False),
        ("savevm t1", {"return": NO_SNAPSHOT}, True, True),
        ("savevm t1", {"error": {"class": "GenericError", "desc": "no"}}, True, False),
        ("info status", {"return": "VM status: running\r\n"}, False, False),
        ("info nothere", {"return": "unknown command: 'info nothere'\r\n"}, True, True),
        ("savevm t1", None, None, False),
        (None, {"return": {}}, False, False),
        (None, {"return": NO_SNAPSHOT}, False, False),
        (None, {"error": {"class": "GenericError", "desc": "no"}}, True, False),
        (None, None, None, False),
    ],
)
def test_whether_it_failed(command_line: str | None, reply: JSON, failed: bool | None, only_in_text: bool) -> None:
    """What is no HMP has no text that could tell."""
    found = record(command_line=command_line, reply=reply)
    assert members(command_line=command_line, reply=reply)["failed"] is failed
    assert found.is_failure_in_text is only_in_text


def test_what_a_client_sent_after_a_failure() -> None:
    found = members(action=Action.WENT_ON, execute="cont", command_line=None, reply=None, after_failure="loadvm t1")
    assert (found["execute"], found["command_line"], found["hmp_command"]) == ("cont", None, None)
    assert (found["action"], found["after_failure"], found["failed"]) == ("went_on", "loadvm t1", None)


@pytest.mark.parametrize(
    ("own_id", "text"),
    [
        ("x", "x"),
        ("", ""),
        (7, "7"),
        (1.5, "1.5"),
        (None, "null"),
        (True, "true"),
        ({"a": [1, "b"]}, '{"a":[1,"b"]}'),
        (float("inf"), "1e999"),
        (float("-inf"), "-1e999"),
    ],
    ids=str,
)
def test_clients_own_id_is_a_text(own_id: JSON, text: str) -> None:
    assert members(reply={"return": "", "id": own_id})["reply"] == {"return": "", "id": text}
    error = {"id": own_id, "error": {"class": "GenericError", "desc": "no"}}
    assert members(reply=error)["reply"] == error | {"id": text}


def test_id_that_is_nested_deeper_than_this_program_can_go_costs_only_itself() -> None:
    deep: JSON = []
    for _ in range(100_000):
        deep = [deep]
    assert members(reply={"return": "", "id": deep})["reply"]["id"] == "what is nested too deeply to be spelled"


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")], ids=str)
def test_number_that_is_no_json_is_a_text(value: float) -> None:
    """A reader that is not Python's would refuse the whole line."""
    line = to_json(record(sent=[SentCommand(QUERY, MS, ReturnReply({"mbps": [value]}), 10)]), host="node7")
    found = json.loads(line, parse_constant=lambda word: pytest.fail(word))
    assert found["qmp"][0]["return"] == {"mbps": [str(value)]}


def test_nothing_was_lost_unless_it_is_said() -> None:
    assert to_members(record(), host="node7")["lost_before"] == 0

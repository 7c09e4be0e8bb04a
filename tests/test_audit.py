"""The audit record's JSON form and its summary for a person."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from shim.audit import SCHEMA_VERSION, Action, AuditRecord, SeenEvent, SentCommand, summarize, to_json
from shim.client import Client
from shim.plan import Decided
from shim.policy import Policy, select
from shim.qmp import JSON, ErrorReply, Execute, Reply, ReturnReply
from tests.graphs import Machine, uefi_vm

MS = 1_000_000
TIME = datetime(2026, 11, 23, 17, 18, 6, 436083, tzinfo=UTC)
QUERY = Execute("query-jobs")


def decided() -> Decided:
    selection = select(Machine(uefi_vm()).graph(), Policy())
    return Decided(selection.choices, "disk0", selection.vmstate_reason)


def record(**members: Any) -> AuditRecord:
    defaults: dict[str, Any] = {
        "time": TIME,
        "vm": "vm1",
        "client": Client(4242, 1000, "/usr/bin/tool"),
        "command_line": "savevm t1",
        "action": Action.REWRITTEN,
        "reason": "done by snapshot jobs",
        "reply": {"return": "", "id": "x"},
        "duration_ns": 40 * MS,
        "client_gone": False,
    }
    return AuditRecord(**(defaults | members))


def members(**changes: Any) -> dict[str, Any]:
    decoded = json.loads(to_json(record(**changes)))
    assert isinstance(decoded, dict)
    return decoded


def whole_record() -> AuditRecord:
    save = Execute("snapshot-save", {"job-id": "hmpshim-1", "tag": "t1", "vmstate": "disk0", "devices": ["disk0"]})
    sent = [
        SentCommand(Execute("query-block"), 2 * MS, ReturnReply([1, 2]), 4000),
        SentCommand(save, 30 * MS, ReturnReply({}), 14),
        SentCommand(QUERY, 1_234_567, ErrorReply("GenericError", "no"), 60),
        SentCommand(Execute("job-dismiss", {"id": "hmpshim-1"}), 0, None, 0),
    ]
    events = [SeenEvent("STOP", 5 * MS), SeenEvent("RESUME", 30 * MS)]
    return record(decided=decided(), sent=sent, events=events)


def test_every_member_of_a_record() -> None:
    assert json.loads(to_json(whole_record())) == {
        "schema": SCHEMA_VERSION,
        "time": "2026-11-23T17:18:06.436083Z",
        "vm": "vm1",
        "client": {"pid": 4242, "uid": 1000, "exe": "/usr/bin/tool", "address": None},
        "command_line": "savevm t1",
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
        "duration_ms": 40.0,
        "client_gone": False,
    }


def test_record_is_one_line_of_ascii() -> None:
    line = to_json(record(command_line='savevm "é\n\x7f😀"'))
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line)["command_line"] == 'savevm "é\n\x7f😀"'


@pytest.mark.parametrize("action", list(Action))
def test_types_are_the_same_for_every_action(action: Action) -> None:
    found = {name: type(value) for name, value in members(action=action).items()}
    assert found == {
        "schema": int,
        "time": str,
        "vm": str,
        "client": dict,
        "command_line": str,
        "action": str,
        "reason": str,
        "nodes": list,
        "vmstate": type(None),
        "qmp": list,
        "rehearsed": type(None),
        "events": list,
        "stopped_ms": float,
        "reply": dict,
        "duration_ms": float,
        "client_gone": bool,
    }
    assert members(action=action)["action"] == action.value


def test_actions_have_these_words() -> None:
    assert [action.value for action in Action] == ["rewritten", "passed", "refused", "observed", "recovered"]


def test_recovered_job_has_neither_client_nor_command_nor_reply() -> None:
    found = members(action=Action.RECOVERED, client=Client(), command_line=None, reply=None)
    assert found["client"] == {"pid": None, "uid": None, "exe": None, "address": None}
    assert (found["command_line"], found["reply"], found["nodes"], found["vmstate"]) == (None, None, [], None)


def test_command_that_needs_no_vmstate_has_the_reason() -> None:
    found = members(decided=Decided((), None, "delvm needs none"))
    assert found["vmstate"] == {"node": None, "reason": "delvm needs none"}
    assert found["nodes"] == []


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
    assert json.loads(to_json(found))["stopped_ms"] == stopped_ms


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


SUMMARY = """\
2026-11-23T17:18:06.436083Z  vm1  'savevm t1'  rewritten: done by snapshot jobs
    asked by /usr/bin/tool (pid 4242, uid 1000)
    skips pflash0 (raw): read-only
    skips pflash1 (raw): varstore of format raw, which cannot hold a snapshot
    takes d0 (qcow2): writable disk
    VM state on d0: HMP's choice: the first disk that can hold a snapshot
        2.000 ms  query-block ok
       30.000 ms  snapshot-save ok
        1.235 ms  query-jobs failed: no
        0.000 ms  job-dismiss lost
    answered {"return": "", "id": "x"} after 40.0 ms; the VM stood still for 25.0 ms"""

SHORT_SUMMARY = """\
2026-11-23T17:18:06.436083Z  vm1  None  recovered: job 'hmpshim-1' ended
    asked by an unknown program (pid None, uid None), gone since
    answered null after 40.0 ms; the VM stood still for 0.0 ms"""


def test_summary() -> None:
    assert summarize(json.loads(to_json(whole_record()))) == SUMMARY


def test_summary_names_a_blockdev_by_its_node() -> None:
    record_of_blockdev = json.loads(to_json(whole_record()))
    record_of_blockdev["nodes"][2]["device"] = None
    summary = summarize(record_of_blockdev)
    assert "    takes disk0 (qcow2): writable disk\n" in summary
    assert "    VM state on disk0: HMP's choice" in summary


def test_summary_without_client_decision_and_commands() -> None:
    short = members(
        action=Action.RECOVERED,
        reason="job 'hmpshim-1' ended",
        client=Client(),
        command_line=None,
        reply=None,
        client_gone=True,
        decided=Decided((), None, "delvm needs none"),
    )
    assert summarize(short) == SHORT_SUMMARY


@pytest.mark.parametrize(
    ("client", "text"),
    [
        (Client(1, 0, "/sbin/x"), "/sbin/x (pid 1, uid 0)"),
        (Client(1, 0), "an unknown program (pid 1, uid 0)"),
        (Client(), "an unknown program (pid None, uid None)"),
        (Client(address="192.0.2.1:5000"), "192.0.2.1:5000"),
    ],
)
def test_client_in_words(client: Client, text: str) -> None:
    assert str(client) == text
    assert f"asked by {text}\n" in summarize(members(client=client))


def test_summary_reads_a_record_without_an_address() -> None:
    old = members()
    del old["client"]["address"]
    assert "asked by /usr/bin/tool (pid 4242, uid 1000)" in summarize(old)

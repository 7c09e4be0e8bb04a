"""What is kept of a record so that its QMP can be told."""

from typing import Any

import pytest

from audit.counting.examples import example_of
from audit.reporting.parties import VM
from audit.reporting.ready import Example
from tests.support.audit.audit_records import a_record, observed

ON: Any = VM("h1", "vm1")
ARGUMENTS = {"job-id": "hmpshim-1", "tag": "t1", "vmstate": "d0", "devices": ["d0"]}
SENT = [
    {"execute": "query-named-block-nodes", "arguments": {"flat": True}, "duration_ms": 1.0, "return_bytes": 5},
    {"execute": "snapshot-save", "arguments": ARGUMENTS, "duration_ms": 1.0, "return": {}},
]
NODES = [
    {"node": "p0", "device": "pflash1", "format": "raw", "included": False, "reason": "varstore"},
    {"node": "d0", "device": "d0", "format": "qcow2", "included": True, "reason": "writable disk"},
]


def test_nodes_and_jobs_are_kept() -> None:
    record = a_record(qmp=SENT, nodes=NODES, vmstate={"node": "d0", "reason": "HMP's choice"})
    assert example_of(record, ON) == Example(ON, "savevm t1", ("d0",), "d0", (("snapshot-save", ARGUMENTS),))


def test_of_an_observed_command_what_was_rehearsed_is_kept() -> None:
    record = observed()
    record["rehearsed"]["qmp"] = [{"execute": "snapshot-save", "arguments": ARGUMENTS}]
    assert example_of(record, ON) == Example(ON, "savevm t1", sent=(("snapshot-save", ARGUMENTS),))


@pytest.mark.parametrize("members", [{"command_line": None}, {"cut": [{"member": "x", "characters": 9, "sha256": "0"}]}])
def test_record_that_does_not_say_all_is_no_example(members: dict[str, Any]) -> None:
    assert example_of(a_record() | members, ON) is None


NOT_AS_WRITTEN: list[dict[str, Any]] = [
    {"vmstate": 5, "nodes": [5, {}, {"included": True, "node": 5}]},
    {"rehearsed": {"qmp": 5}},
    {"rehearsed": {"qmp": [5, {}, {"execute": 5}]}},
    {"vmstate": {}},
]


@pytest.mark.parametrize("members", NOT_AS_WRITTEN)
def test_what_is_not_as_it_is_written_is_left_out(members: dict[str, Any]) -> None:
    assert example_of(a_record() | members, ON) == Example(ON, "savevm t1")


def test_older_record_may_lack_members() -> None:
    record = a_record()
    for name in ("cut", "vmstate", "rehearsed"):
        del record[name]
    assert example_of(record, ON) == Example(ON, "savevm t1")

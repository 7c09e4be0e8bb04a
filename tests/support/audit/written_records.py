"""Audit records as the programs make them."""

from datetime import UTC, datetime
from typing import Any

from shim.client import Client
from shim.graph.policy import Policy
from shim.graph.selection import select
from shim.hmp.line import HMPLine
from shim.plans.plan import Decided
from shim.qmp import ErrorReply, Execute, ReturnReply
from shim.records.audit import Action, AuditRecord, SeenEvent, SentCommand
from tests.support.shim.graphs import Machine, uefi_vm

__all__ = ["MS", "QUERY", "TIME", "record", "whole_record"]

MS = 1_000_000
TIME = datetime(2026, 11, 23, 17, 18, 6, 436083, tzinfo=UTC)
QUERY = Execute("query-jobs")


def decided() -> Decided:
    selection = select(Machine(uefi_vm()).graph(), Policy())
    return Decided(selection.choices, "disk0", selection.vmstate_reason)


def record(**members: Any) -> AuditRecord:
    if "command_line" in members:
        text = members.pop("command_line")
        members["line"] = None if text is None else HMPLine.read(text)
    defaults: dict[str, Any] = {
        "time": TIME,
        "vm": "vm1",
        "client": Client(4242, 1000, "/usr/bin/tool"),
        "line": HMPLine.read("savevm t1"),
        "action": Action.REWRITTEN,
        "reason": "done by snapshot jobs",
        "reply": {"return": "", "id": "x"},
        "duration_ns": 40 * MS,
        "client_gone": False,
    }
    return AuditRecord(**(defaults | members))


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

"""Records as values, and logs of them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from audit.counting.filters import Filters
from audit.counting.report_builder import make_report
from audit.reporting.report import Report

__all__ = ["SAVE", "a_record", "log_of", "observed", "report_of", "sent"]

SAVE: Final = {"execute": "snapshot-save", "arguments": {}, "duration_ms": 1.0, "return": {}}
_HMP: Final = "human-monitor-command"


def a_record(command_line: str | None = "savevm t1", **members: Any) -> dict[str, Any]:
    """Return a record of today's version. exe, uid and so on: its client's; day: of November 2026; the rest are members."""
    client: dict[str, Any] = {"pid": 1, "uid": 1000, "user": None, "exe": "/bin/tool", "argv": [], "tool": None, "unit": None}
    client |= {"container": None, "parent": None, "address": None, "connected_as": None, "prompt": False}
    client |= {name: members.pop(name) for name in client if name in members}
    day = members.pop("day", 24)
    name = " ".join((command_line or "").split()[: 2 if (command_line or "").startswith("info") else 1])
    record: dict[str, Any] = {
        "schema": 4,
        "time": f"2026-11-{day:02}T10:00:00.000000Z",
        "host": "h1",
        "vm": "vm1",
        "client": client,
        "execute": _HMP,
        "command_line": command_line,
        "hmp_command": name or None,
        "action": "rewritten",
        "reason": "done by snapshot jobs",
        "nodes": [],
        "vmstate": None,
        "qmp": [],
        "rehearsed": None,
        "events": [],
        "stopped_ms": 0.0,
        "reply": {"return": ""},
        "failed": False,
        "after_failure": None,
        "duration_ms": 1.5,
        "client_gone": False,
        "lost_before": 0,
        "repeated": 0,
        "housekeeping": False,
        "cut": [],
    }
    assert members.keys() <= record.keys()
    return record | members


def sent(*names: str) -> list[dict[str, Any]]:
    return [SAVE | {"execute": name} for name in names]


def log_of(path: Path, records: Iterable[dict[str, Any]]) -> str:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="ascii")
    return str(path)


def report_of(folder: Path, *records: dict[str, Any], filters: Filters | None = None) -> Report:
    return make_report([log_of(folder / "log", records)], filters or Filters())


def observed(
    command_line: str = "savevm t1", hmp: str | None = "", rewritten: str | None = "", outcome: str = "", **members: Any
) -> dict[str, Any]:
    """Return a record of mode observe. hmp: what QEMU answered, None for nothing; rewritten: what rewriting would have."""
    agreed = None if hmp is None else rewritten is None or rewritten == hmp
    told = outcome or "done by snapshot jobs"
    reply = None if hmp is None else {"return": hmp}
    failed = None if hmp is None else hmp.startswith("Error: ")
    rehearsed: dict[str, Any] = {"qmp": [], "outcome": told, "text": rewritten, "agreed": agreed}
    given: dict[str, Any] = {"action": "observed", "reason": "only observed", "reply": reply, "failed": failed}
    return a_record(command_line, **given | {"rehearsed": rehearsed} | members)

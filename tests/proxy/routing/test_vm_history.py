"""What became of a VM's commands: counted by what cannot grow without limit, with the last failures."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from proxy.routing import vm_history as module
from proxy.routing.vm_history import DURATION_BOUNDS_S, OTHER, DeprecatedUse, Histogram, History, Outcome, tool_of
from shim.client import Client
from shim.hmp.line import HMPLine
from shim.records.audit import Action, AuditRecord, SeenEvent
from shim.records.identity import Identity
from tests.support.routing.pure_router import Desk, hmp

TOOL = Client(5, 0, "/usr/bin/tool")


def a_record(line: str | None = "savevm t", action: Action = Action.REWRITTEN, reply: Any = "", **members: Any) -> AuditRecord:
    """Return a record. reply: HMP's text; an error if it is an Exception, none if it is None."""
    told = None if reply is None else {"return": reply}
    if isinstance(reply, Exception):
        told = {"error": {"class": "GenericError", "desc": str(reply)}}
    said: dict[str, Any] = {"client": TOOL, "duration_ns": 3_000_000_000, "reason": "why", "client_gone": False} | members
    parsed = None if line is None else HMPLine.read(line)
    return AuditRecord(datetime(2026, 11, 29, 1, 2, 3, 4, UTC), "vm1", line=parsed, action=action, reply=told, **said)


def noted(*records: AuditRecord) -> History:
    history = History()
    for record in records:
        history.note(record)
    return history


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        (a_record(), Outcome("savevm", "rewritten", "ok")),
        (a_record("savevm a b", Action.PASSED, "Error: no"), Outcome("savevm", "passed", "failed")),
        (a_record("info snapshots"), Outcome("info snapshots", "rewritten", "ok")),
        (a_record("info block", Action.PASSED), Outcome(OTHER, "passed", "ok")),
        (a_record("anything that a client words", Action.PASSED), Outcome(OTHER, "passed", "ok")),
        (a_record("delvm t", reply=None), Outcome("delvm", "rewritten", "unknown")),
        (a_record("delvm t", Action.ABANDONED, None), Outcome("delvm", "abandoned", "not_begun")),
        (a_record("loadvm t", Action.REFUSED, ValueError("no")), Outcome("loadvm", "refused", "failed")),
        (a_record(None, Action.MODERN, {}, execute="snapshot-save"), Outcome("snapshot-save", "modern", "ok")),
        (a_record(None, Action.PASSED, ValueError("no")), Outcome(OTHER, "passed", "failed")),
    ],
    ids=str,
)
def test_outcomes_are_counted_by_few_names(record: AuditRecord, outcome: Outcome) -> None:
    assert dict(noted(record, record).outcomes) == {outcome: 2}


@pytest.mark.parametrize("action", [Action.WENT_ON, Action.RECOVERED])
def test_what_nobody_asked_for_is_not_counted(action: Action) -> None:
    assert not noted(a_record(None, action, None, execute=None)).outcomes


def test_times_are_those_of_what_is_done_here() -> None:
    stopped = [SeenEvent("STOP", 100_000_000), SeenEvent("RESUME", 900_000_000)]
    save = a_record(events=stopped)
    history = noted(
        save,
        replace(save, action=Action.DELEGATED, duration_ns=999_000_000_000),
        a_record("savevm t", Action.PASSED),
        a_record("info snapshots", duration_ns=4_000_000),
        a_record(None, Action.MODERN, {}, execute="snapshot-save"),
    )
    assert {command: times.sum_s for command, times in history.durations.items()} == {"savevm": 1002, "info snapshots": 0.004}
    assert {command: times.sum_s for command, times in history.stops.items()} == {"savevm": pytest.approx(1.6)}
    assert history.durations["savevm"].counts == [0] * 7 + [1] + [0] * 5 + [1]
    assert history.durations["info snapshots"].counts[0] == 1


def test_bound_belongs_to_what_is_below_it() -> None:
    histogram = Histogram()
    for bound_s in DURATION_BOUNDS_S:
        histogram.observe(bound_s)
    assert histogram.counts == [1] * len(DURATION_BOUNDS_S) + [0]


def test_last_failures_are_kept_and_equal_ones_count() -> None:
    failures = [a_record(f"savevm {number}", reply="Error: no\r\n") for number in range(9)]
    later = replace(failures[-1], time=datetime(2026, 11, 30, tzinfo=UTC))
    abandoned = a_record("savevm x", Action.ABANDONED, None)
    history = noted(*failures, later, later, a_record(), abandoned, a_record("info block", Action.PASSED, "Error: no"))
    assert [failure.command for failure in history.failures] == [f"savevm {number}" for number in range(4, 9)]
    last = history.failures[-1]
    assert (last.time, last.count, last.text, last.client) == ("2026-11-30T00:00:00+00:00", 3, "Error: no", str(TOOL))


@pytest.mark.parametrize(
    ("record", "command", "text"),
    [
        (a_record(reply=None, reason="QEMU went"), "savevm t", "QEMU went"),
        (a_record(reply=ValueError("denied"), action=Action.REFUSED), "savevm t", "denied"),
        (a_record(None, Action.MODERN, None, execute="snapshot-load", reason="lost"), "snapshot-load", "lost"),
        (a_record("savevm " + "x" * 999, reply="Error: " + "y" * 999), "savevm " + "x" * 293, "Error: " + "y" * 293),
    ],
    ids=["unknown", "error", "modern", "long"],
)
def test_failure_says_what_is_known(record: AuditRecord, command: str, text: str) -> None:
    (failure,) = noted(record).failures
    assert (failure.command, failure.text) == (command, text)


def test_deprecated_use_is_by_tool_command_and_replacement(monkeypatch: pytest.MonkeyPatch) -> None:
    history = noted(
        *[a_record()] * 2,
        a_record("info block", Action.PASSED),
        a_record("info lapic", Action.PASSED),
        a_record("invented", Action.PASSED),
        a_record(None, Action.MODERN, {}, execute="snapshot-save"),
    )
    assert dict(history.deprecated) == {
        DeprecatedUse("/usr/bin/tool", "savevm", "snapshot-save"): 2,
        DeprecatedUse("/usr/bin/tool", "info block", "query-block and query-named-block-nodes"): 1,
        DeprecatedUse("/usr/bin/tool", "info lapic", ""): 1,
        DeprecatedUse("/usr/bin/tool", OTHER, ""): 1,
    }
    monkeypatch.setattr(module, "_MOST_USES", 4)
    for number in range(9):
        history.note(a_record(client=Client(number, 0, f"/bin/{number}")))
    history.note(a_record())
    assert (len(history.deprecated), history.deprecated[DeprecatedUse(OTHER, OTHER, "")]) == (5, 9)
    assert history.deprecated[DeprecatedUse("/usr/bin/tool", "savevm", "snapshot-save")] == 3


class Look:
    """The look at a client, which is under way until `found` is there."""

    def __init__(self) -> None:
        self.found: Identity | None = None

    @property
    def is_settled(self) -> bool:
        return self.found is not None

    def __call__(self) -> Identity:
        assert self.found is not None, "an event loop would wait"
        return self.found


@pytest.mark.parametrize(
    ("found", "members", "tool"),
    [
        (Identity(tool="nightly.py"), {}, "nightly.py"),
        (Identity(tool="tmpk2_9xq0z.py"), {}, "tmp*.py"),
        (Identity(), {}, "/usr/bin/tool"),
        (Identity(tool="python3"), {"is_prompt": True}, "hmp-repl"),
    ],
)
def test_use_counts_for_what_a_person_calls_the_tool_once_that_is_known(
    found: Identity, members: dict[str, Any], tool: str
) -> None:
    look = Look()
    history = noted(a_record("info lapic", Action.PASSED, identify=look, **members))
    assert not history.deprecated
    look.found = found
    assert dict(history.deprecated) == {DeprecatedUse(tool, "info lapic", ""): 1}
    history.note(a_record("info lapic", Action.PASSED, identify=look, **members))
    assert dict(history.deprecated) == {DeprecatedUse(tool, "info lapic", ""): 2}


def test_not_many_uses_wait_for_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_UNSETTLED", 2)
    look = Look()
    history = noted(*[a_record("info lapic", Action.PASSED, identify=look)] * 5)
    assert dict(history.deprecated) == {DeprecatedUse("/usr/bin/tool", "info lapic", ""): 3}
    look.found = Identity(tool="nightly.py")
    assert history.deprecated[DeprecatedUse("nightly.py", "info lapic", "")] == 2


@pytest.mark.parametrize(
    ("client", "tool"),
    [
        (TOOL, "/usr/bin/tool"),
        (Client(5, 0), "unknown"),
        (Client(address="tcp:10.0.0.1:999"), "tcp:10.0.0.1"),
        (Client(address="tcp:10.0.0.1:999", certificate="backup"), "backup"),
    ],
)
def test_tool_has_no_number(client: Client, tool: str) -> None:
    assert tool_of(client) == tool


def test_records_of_a_router_are_noted_over_its_connections() -> None:
    history = History()
    for number in range(2):
        desk = Desk(history=history)
        desk.send(desk.client(), hmp(f"savevm {number}") + hmp("nosuch"))
        desk.run()
    assert history.outcomes == {Outcome("savevm", "rewritten", "ok"): 2, Outcome(OTHER, "passed", "failed"): 2}


def test_gap_is_new_once() -> None:
    history = History()
    assert [history.is_new_gap(gap) for gap in ("a", "b", "a")] == [True, True, False]

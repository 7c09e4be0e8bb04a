"""What the router puts on record, beside the commands that it rewrites."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from audit.log.reading import decode
from audit.log.schema import problems
from proxy.routing.recorder import Recorder
from shim.client import Client
from shim.decisions.decision import Result
from shim.graph.policy import Mode, Policy
from shim.records.audit import Action, AuditRecord
from shim.records.audit_form import spell, to_members
from shim.records.excerpt import excerpt
from tests.support.routing.pure_router import NAME, Desk, ManualClock, a_monitor, a_session, failure, hmp, line, reply

HMP_ERROR = line({"return": "Error: no\r\n"})
HMP_OK = line({"return": ""})


def qmp(name: str, **arguments: object) -> bytes:
    return json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n"


def told(records: list[AuditRecord]) -> list[tuple[Any, ...]]:
    return [(record.action, record.execute, record.command_line, record.after_failure) for record in records]


def a_failure(desk: Desk, command_line: str = "info x") -> Any:
    """Let a client's command fail, which only the text of the reply tells."""
    client = desk.client()
    desk.send(client, hmp(command_line))
    desk.written()
    desk.receive(HMP_ERROR)
    desk.records.clear()
    return client


def test_qmps_own_snapshot_command_is_forwarded_as_it_is_and_recorded_with_its_reply() -> None:
    desk = Desk()
    client = desk.client()
    raw = b' {"execute" : "snapshot-save", "arguments": {"job-id":"j"}, "id": 7}'
    desk.send(client, raw)
    assert desk.written() == raw
    desk.receive(reply(7))
    (record,) = desk.records
    assert (record.action, record.execute, record.command_line) == (Action.MODERN, "snapshot-save", None)
    assert (record.reply, record.has_failed, record.hmp_command) == ({"return": {}, "id": 7}, False, None)
    assert desk.heard(client) == [{"return": {}, "id": 7}]


def test_qmps_own_snapshot_command_that_fails() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, qmp("blockdev-snapshot-internal-sync") + qmp("query-name", x=1))
    desk.receive(failure("no such device") + reply(1))
    (record,) = desk.records
    assert record.has_failed
    assert not record.is_failure_in_text
    assert desk.heard(client)[0]["error"]["desc"] == "no such device"


def test_command_behind_a_failure_that_only_a_text_told_is_noted_once() -> None:
    desk = Desk()
    client = a_failure(desk, "loadvm a b")
    desk.send(client, b'{"execute":"cont"}')
    desk.send(client, b'{"execute":"query-status"}')
    assert told(desk.records) == [(Action.WENT_ON, "cont", None, "loadvm a b")]
    assert desk.written() == b'{"execute":"cont"}{"execute":"query-status"}'
    (record,) = desk.records
    assert (record.reply, record.has_failed, record.client.exe) == (None, None, "/bin/tool1")


def test_recorded_command_behind_a_failure_says_so_itself() -> None:
    desk = Desk()
    client = a_failure(desk)
    desk.send(client, hmp("info y"))
    desk.receive(HMP_OK)
    desk.send(client, hmp("info z"))
    desk.receive(HMP_OK)
    assert [record.after_failure for record in desk.records] == ["info x", None]


def test_modern_command_behind_a_failure_says_so_itself() -> None:
    desk = Desk()
    client = a_failure(desk)
    desk.send(client, qmp("snapshot-delete"))
    desk.receive(reply(1))
    assert told(desk.records) == [(Action.MODERN, "snapshot-delete", None, "info x")]


def test_query_jobs_behind_a_failure_is_noted_too() -> None:
    desk = Desk()
    client = a_failure(desk)
    desk.send(client, b'{"execute":"query-jobs"}')
    assert [record.execute for record in desk.records] == ["query-jobs"]


def test_what_was_sent_behind_a_rewritten_command_that_fails_is_noted() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, hmp("loadvm none") + NAME)
    desk.run()
    assert [record.action for record in desk.records] == [Action.REWRITTEN, Action.WENT_ON]
    assert desk.records[1].after_failure == "loadvm none"


@pytest.mark.parametrize("answer", [HMP_OK, failure("no such command")], ids=["success", "qmp error"])
def test_nothing_is_noted_behind_a_success_nor_behind_a_failure_that_qmp_tells(answer: bytes) -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, hmp("info x"))
    desk.receive(answer)
    desk.records.clear()
    desk.send(client, NAME)
    assert desk.records == []


def test_other_clients_commands_are_not_noted() -> None:
    desk = Desk()
    a_failure(desk)
    desk.send(desk.client(number=2), NAME)
    assert desk.records == []


def test_refused_command_counts_as_a_failure_that_only_a_text_told() -> None:
    desk = Desk(policy=Policy(mode=Mode.ENFORCE))
    client = desk.client()
    desk.send(client, hmp("stop") + NAME)
    assert told(desk.records)[1] == (Action.WENT_ON, "query-name", None, "stop")


class Announcing:
    """A log that can or cannot be written."""

    def __init__(self, unwritable: str | None = None) -> None:
        self.begun: list[AuditRecord] = []
        self._unwritable = unwritable

    def __call__(self, record: AuditRecord) -> str | None:
        self.begun.append(record)
        return self._unwritable


@pytest.mark.parametrize("command", [hmp("savevm t"), hmp("info x"), qmp("snapshot-delete")])
def test_command_is_announced_before_anything_is_sent(command: bytes) -> None:
    announcing = Announcing()
    desk = Desk(announce=announcing)
    client = desk.client()
    desk.send(client, command)
    (begun,) = announcing.begun
    assert (begun.action, begun.reply, begun.duration_ns) == (Action.BEGUN, None, 0)
    desk.run()
    outcome = desk.records[-1]
    assert (begun.time, begun.vm, begun.client, begun.command_line, begun.execute) == (
        *(outcome.time, outcome.vm, outcome.client),
        *(outcome.command_line, outcome.execute),
    )


@pytest.mark.parametrize("command_line", ["savevm t", "info x"])
def test_hmp_that_cannot_be_announced_is_answered_with_the_reason_and_not_run(command_line: str) -> None:
    desk = Desk(announce=Announcing("the disk is full"))
    client = desk.client()
    desk.send(client, hmp(command_line, id=5))
    assert desk.written() == b""
    assert desk.heard(client) == [{"return": "Error: the disk is full\r\n", "id": 5}]
    assert [record.action for record in desk.records] == [Action.REFUSED]


def test_modern_command_that_cannot_be_announced_gets_an_error_and_is_not_run() -> None:
    desk = Desk(announce=Announcing("the disk is full"))
    client = desk.client()
    desk.send(client, qmp("snapshot-save"))
    assert desk.written() == b""
    assert desk.heard(client) == [{"error": {"class": "GenericError", "desc": "the disk is full"}}]


def test_everything_else_runs_though_nothing_can_be_announced() -> None:
    desk = Desk(announce=Announcing("the disk is full"))
    client = desk.client()
    desk.send(client, NAME)
    assert desk.written() == NAME


HOSTILE_IDS = {
    "deep": b"[" * 1000 + b"]" * 1000,
    "deep objects": b'{"a":' * 900 + b"1" + b"}" * 900,
    "infinite": b"1e999",
    "long number": b"9" * 5000,
    "infinite within": b"[-1e999,{'a':1e400}]",
    "long": b'"' + b"x" * 100_000 + b'"',
    "escapes": rb'"\u001b[2J\n\u0000\u202e"',
    "quotes": b"'\\''",
    "many keys": b"{" + b",".join(b'"k%d":%d' % (number, number) for number in range(900)) + b"}",
}


@pytest.fixture
def deep_recursion() -> Iterator[None]:
    """Let it go as deep as in the proxy. The reader of the log has Python's own limit."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("deep_recursion")
@pytest.mark.parametrize("own_id", HOSTILE_IDS.values(), ids=HOSTILE_IDS)
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("execute", "arguments"),
    [
        ("human-monitor-command", '{"command-line": "savevm t"}'),
        ("human-monitor-command", '{"command-line": "info version"}'),
        ("human-monitor-command", '{"command-line": "stop", "cpu-index": 1e999}'),
        ("human-monitor-command", '{"command-line": "\\u001b[2J\\n{", "x": %s}' % ("9" * 5000)),
        ("human-monitor-command", "[]"),
        ("snapshot-delete", '{"job-id": "j"}'),
        ("x\\u001b" * 1000, "{}"),
    ],
    ids=["savevm", "info", "infinite cpu", "long number", "no object", "modern", "no command"],
)
def test_record_of_hostile_command_can_be_read(own_id: bytes, mode: Mode, execute: str, arguments: str) -> None:
    """Whatever a client sends: a record that nobody can read hides its command."""
    desk = Desk(policy=Policy(mode=mode))
    client = desk.client()
    desk.send(client, hmp("help nothere"))  # a failure, so that the next command is on record, whatever it is
    desk.run()
    desk.records.clear()
    raw = b'{"execute": "%s", "arguments": %s, "id": %s}' % (execute.encode(), arguments.encode(), own_id)
    desk.send(client, raw)
    desk.run()
    sys.setrecursionlimit(1000)
    for record in desk.records:
        line = spell(excerpt(to_members(record, host="h"))).encode()
        assert problems(decode(line)) == []
        assert len(line) < 40_000
        json.loads(line, parse_constant=lambda word: pytest.fail(word))
    assert len(desk.records) == 1


def test_client_is_looked_at_when_a_command_of_it_is_put_on_record_and_only_then() -> None:
    looks: list[Client] = []

    def look_again(client: Client) -> Client:
        looks.append(client)
        return replace(client, exe="/bin/other", connected_as=client.exe)

    desk = Desk()
    client = desk.client()
    client.look_again = look_again
    for _ in range(3):
        desk.send(client, NAME + b'{"execute":"query-jobs"}')
    assert looks == []
    for raw in (hmp("savevm t"), hmp("info version"), qmp("snapshot-delete"), hmp("help nothere"), NAME):
        desk.send(client, raw)
        desk.run()
    assert [record.client.exe for record in desk.records] == ["/bin/other"] * 5
    assert {record.client.connected_as for record in desk.records} == {"/bin/tool1"}
    assert [record.action for record in desk.records][-1] is Action.WENT_ON
    assert len(looks) == 5


def test_trace_of_nobody_is_no_qmp_command_of_a_client() -> None:
    recorder = Recorder(a_monitor(), ManualClock().clock())
    record = recorder.record(recorder.trace_of_nobody(), None, Result(None, Action.RECOVERED, "found"), None)
    assert (record.execute, record.command_line, record.has_failed) == (None, None, None)


def test_going_on_is_forgotten_once_noted() -> None:
    session = a_session(negotiated=True)
    session.note_outcome("savevm t")
    record = Recorder(a_monitor(), ManualClock().clock()).went_on(session, "quit")
    assert (record.execute, record.after_failure) == ("quit", "savevm t")
    assert not session.failed_command

"""`errors = "qmp"`: what HMP tells in the text of a success, a client that ignores the text is told as an error."""

import pytest

from proxy.sessions.session import Session
from shim.graph.policy import Mode, Policy
from shim.records.audit import Action
from tests.support.routing.pure_router import Desk, hmp


def asked(line: str, *, in_qmp: bool, desk: Desk | None = None) -> tuple[Desk, Session, dict[str, object]]:
    desk = desk or Desk()
    client = desk.client()
    client.errors_in_qmp = in_qmp
    desk.send(client, hmp(line, id=7))
    desk.run()
    (reply,) = (value for value in desk.heard(client) if "event" not in value)
    return desk, client, reply


NO_TAG = "Error: Snapshot 'nosuch' does not exist in one or more devices"


@pytest.mark.parametrize("line", ["loadvm nosuch"])
def test_failure_of_a_rewritten_command_is_an_error(line: str) -> None:
    _, _, natively = asked(line, in_qmp=False)
    assert natively["return"] == f"{NO_TAG}\r\n"
    desk, client, reply = asked(line, in_qmp=True)
    assert reply == {"id": 7, "error": {"class": "GenericError", "desc": NO_TAG}}
    (record,) = desk.records
    assert (record.action, record.reply, record.has_failed) == (Action.REWRITTEN, reply, True)
    assert client.failed_command is None, "a client that is told so knows it"


@pytest.mark.parametrize("line", ["savevm t", "delvm t", "info snapshots", "info version"])
def test_success_is_told_as_it_is(line: str) -> None:
    assert asked(line, in_qmp=True)[2] == asked(line, in_qmp=False)[2]


def test_failure_of_another_hmp_command_is_told_by_its_text() -> None:
    assert "return" in asked("nosuch", in_qmp=True)[2]


def test_failure_of_a_snapshot_command_that_qemu_carries_out_is_an_error_too() -> None:
    desk, _, reply = asked("loadvm nosuch", in_qmp=True, desk=Desk(policy=Policy(mode=Mode.OBSERVE)))
    assert reply == {"id": 7, "error": {"class": "GenericError", "desc": NO_TAG}}
    assert [(record.action, record.reply) for record in desk.records] == [(Action.OBSERVED, reply)]


def test_what_we_fail_at_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.routing.recorder.Recorder.remark", lambda *_: 1 / 0)
    _, _, reply = asked("loadvm nosuch", in_qmp=True)
    assert "error" in reply

"""What the prompt's recorder writes where the end of a command does not come."""

import asyncio
from typing import Any

import pytest

from repl.errors import LostError
from repl.recorder import Recorder
from shim.client import Client
from shim.decisions.decision import Pass, pass_on
from shim.decisions.plan_run import PlanRun
from shim.hmp.line import HMPLine
from shim.records.audit import Action, AuditRecord, Rehearsed
from shim.records.identity import Identified, Identify, Identity, unidentified

LOST, LEFT = LostError("qmp.sock", "QEMU closed it"), asyncio.CancelledError()


class Log:
    """An audit log in memory."""

    refuses = False

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []

    def identify(self, client: Client) -> Identify:
        return Identified(Identity(user=f"user {client.uid}"))

    def write(self, record: AuditRecord) -> None:
        self.records.append(record)


def a_recorder() -> tuple[Recorder, Log]:
    log: Any = Log()
    return Recorder(Client(uid=7), log, lambda error: pytest.fail(str(error)), vm_name="vm1"), log


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (LOST, "the connection to QEMU was lost, so the outcome is not known"),
        (LEFT, "nobody waited for its end, so the outcome is not known"),
    ],
    ids=["lost", "left"],
)
@pytest.mark.parametrize("passed", [False, True])
def test_outcome_that_nobody_knows_is_on_record_as_what_was_under_way(error: BaseException, reason: str, passed: bool) -> None:
    recorder, log = a_recorder()
    trace = recorder.trace(HMPLine.read("savevm t"))
    rehearsed = Rehearsed((), "done", "")
    run = PlanRun(pass_on(Pass(Action.OBSERVED, "why", rehearsed)), trace, is_command=True)
    if passed:
        run.advance(None, 0)
    with pytest.raises(type(error)), recorder.on_record(trace, run):
        raise error
    (record,) = log.records
    assert (record.vm, record.command_line, record.reason, record.reply) == ("vm1", "savevm t", reason, None)
    assert (record.action, record.rehearsed) == ((Action.OBSERVED, rehearsed) if passed else (Action.REWRITTEN, None))


def test_nothing_is_on_record_where_nothing_was_lost() -> None:
    recorder, log = a_recorder()
    with recorder.on_record(recorder.trace(None)):
        pass
    with pytest.raises(ValueError, match="ours"), recorder.on_record(recorder.trace(None)):
        raise ValueError("ours")
    assert log.records == []


def test_nothing_is_announced_where_the_log_does_not_want_it() -> None:
    recorder, _ = a_recorder()
    assert not recorder.announces


def test_record_says_that_it_is_the_prompt_and_whose() -> None:
    recorder, _ = a_recorder()
    trace = recorder.trace(HMPLine.read("savevm t"))
    assert (trace.is_prompt, trace.identify().user) == (True, "user 7")


def test_nobody_is_looked_up_where_there_is_no_log() -> None:
    recorder = Recorder(Client(), None, lambda error: pytest.fail(str(error)), vm_name="vm1")
    assert recorder.trace(None).identify is unidentified

"""What is made of a client's command, played by hand; tests/proxy/routing/test_plan_runner.py plays it in the proxy."""

import itertools
import json
from collections.abc import Iterator

import pytest

from proxy.routing.plan_maker import PlanMaker, Work
from proxy.routing.recorder import Recorder
from proxy.sessions.requests import HMPRequest
from proxy.sessions.session import Session
from shim.graph.policy import Mode, Policy
from shim.plans.plan import Step
from shim.qmp import ReturnReply, read_reply
from shim.records.audit import Action
from tests.support.routing.pure_router import ManualClock, ModelQEMU, a_monitor, a_session, hmp


def a_maker(policy: Policy | None = None) -> PlanMaker:
    new_id = map("hmpshim-{}".format, itertools.count(1)).__next__
    clock = ManualClock().clock()
    recorder = Recorder(a_monitor(), clock)
    return PlanMaker(a_monitor(), policy or Policy(), clock, recorder, new_job_id=new_id, own_prefix="hmpshim-")


def a_work(maker: PlanMaker, line: str) -> tuple[Work, Session]:
    session = a_session(negotiated=True)
    session.inbox.receive_data(hmp(line, id=1))
    request = session.next_request()
    assert isinstance(request, HMPRequest)
    return maker.command(session, request), session


def play(work: Work, qemu: ModelQEMU) -> None:
    """Play a work with QEMU, up to its end or to where QEMU is to get the client's bytes."""
    commands = work.run.advance(None, 0)
    while commands:
        output = b"".join(qemu.receive(command.to_wire()) for command in commands)
        replies = [raw for raw in output.splitlines(keepends=True) if b'"event"' not in raw]
        for raw in replies:
            commands = work.run.receive_reply(read_reply(json.loads(raw)), len(raw), 1)


@pytest.mark.parametrize("line", ["savevm t", "delvm t"])
def test_plan_ends_with_its_answer(line: str) -> None:
    work, session = a_work(a_maker(), line)
    play(work, ModelQEMU())
    result = work.run.outcome
    assert (work.session, result.reply, result.action) == (session, ReturnReply(""), Action.REWRITTEN)


def test_tag_that_exists_is_handed_to_qemus_own_savevm() -> None:
    qemu = ModelQEMU()
    qemu.vm.save_snapshot("t", overwrite=False)
    work, session = a_work(a_maker(), "savevm t")
    play(work, qemu)
    passing = work.run.passing
    assert passing is not None
    assert (work.session, passing.action, passing.reason) == (
        session, Action.DELEGATED, "QEMU's own savevm replaces the snapshot in one step",
    )  # fmt: skip


def test_observed_command_is_handed_back_with_what_would_have_been_done() -> None:
    work, _ = a_work(a_maker(Policy(mode=Mode.OBSERVE)), "savevm t")
    play(work, ModelQEMU())
    passing = work.run.passing
    assert passing is not None
    assert (passing.action, passing.rehearsed is not None) == (Action.OBSERVED, True)


def test_failure_of_ours_is_told_and_the_command_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(*_: object) -> Iterator[Step]:
        raise ValueError("ours")
        yield

    monkeypatch.setattr("shim.plans.snapshot_plans.plan", plan)
    work, _ = a_work(a_maker(), "savevm t")
    assert work.run.advance(None, 0) == ()
    assert isinstance(work.run.failure, ValueError)
    passing = work.run.passing
    assert passing is not None
    assert passing.reason == "hmpshim failed before it had changed anything"

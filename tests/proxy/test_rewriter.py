"""The effects of plans, one by one; tests/proxy/test_plan_runner.py plays whole plans."""

import itertools
from collections.abc import Iterator

import pytest

from proxy.routing.messages import LINES
from proxy.routing.requests import HMPRequest
from proxy.routing.rewriter import Done, Effect, HandBack, Notice, Rewriter, Work, Write
from proxy.routing.session import Session
from shim.audit import Action
from shim.hmp import HMPLine
from shim.plan import Step
from shim.plan_run import Trace
from shim.policy import Mode, Policy
from tests.support.pure_router import NOW, ManualClock, ModelQEMU, a_monitor, a_session, hmp


def a_rewriter(policy: Policy | None = None) -> Rewriter:
    new_id = map("hmpshim-{}".format, itertools.count(1)).__next__
    clock = ManualClock().clock()
    return Rewriter(a_monitor(), LINES, policy or Policy(), clock, new_job_id=new_id, own_prefix="hmpshim-")


def a_work(rewriter: Rewriter, line: str) -> tuple[Work, Session]:
    session = a_session(negotiated=True)
    session.receive_data(hmp(line, id=1))
    request = session.next_request()
    assert isinstance(request, HMPRequest)
    return rewriter.work(session, request, Trace(NOW, 0, session.client, HMPLine.read(line))), session


def play(rewriter: Rewriter, work: Work, qemu: ModelQEMU) -> Iterator[Effect]:
    """Play a work with QEMU, and give the effects that are no writes."""
    effects = list(rewriter.start(work))
    while effects:
        writes = [effect for effect in effects if isinstance(effect, Write)]
        yield from (effect for effect in effects if not isinstance(effect, Write))
        output = b"".join(qemu.receive(command.to_wire()) for write in writes for command in write.commands)
        replies = [raw for raw in output.splitlines(keepends=True) if b'"event"' not in raw]
        effects = [effect for reply in replies for effect in rewriter.receive_reply(work, reply)]


@pytest.mark.parametrize("line", ["savevm t", "delvm t"])
def test_plan_ends_with_record_and_answer(line: str) -> None:
    rewriter = a_rewriter()
    work, session = a_work(rewriter, line)
    (done,) = play(rewriter, work, ModelQEMU())
    assert isinstance(done, Done)
    assert (done.session, done.line, done.record.action) == (session, b'{"return": "", "id": 1}\r\n', Action.REWRITTEN)


def test_tag_that_exists_is_handed_to_qemus_own_savevm() -> None:
    rewriter, qemu = a_rewriter(), ModelQEMU()
    qemu.vm.save_snapshot("t", overwrite=False)
    work, session = a_work(rewriter, "savevm t")
    (back,) = play(rewriter, work, qemu)
    assert isinstance(back, HandBack)
    assert (back.session, back.action, back.reason) == (
        session, Action.DELEGATED, "QEMU's own savevm replaces the snapshot in one step",
    )  # fmt: skip


def test_observed_command_is_handed_back_with_what_would_have_been_done() -> None:
    rewriter = a_rewriter(Policy(mode=Mode.OBSERVE))
    work, _ = a_work(rewriter, "savevm t")
    (back,) = play(rewriter, work, ModelQEMU())
    assert isinstance(back, HandBack)
    assert (back.action, back.rehearsed is not None) == (Action.OBSERVED, True)


def test_failure_of_ours_is_told_and_the_command_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(*_: object) -> Iterator[Step]:
        raise ValueError("ours")
        yield

    monkeypatch.setattr("proxy.routing.rewriter.plan", plan)
    rewriter = a_rewriter()
    work, _ = a_work(rewriter, "savevm t")
    told, back = rewriter.start(work)
    assert isinstance(told, Notice)
    assert isinstance(told.content, ValueError)
    assert isinstance(back, HandBack)
    assert back.reason == "hmpshim failed before it had changed anything"

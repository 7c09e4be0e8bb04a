"""Plans one after the other: their commands, how they end, leftovers of an earlier connection, and a lost one."""

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from proxy.answers import LINES, PRETTY
from proxy.rewriter import LOST, Done, Effect, HandBack, Rewriter, Write
from proxy.session import HMPRequest, Session
from shim.audit import Action, AuditRecord
from shim.policy import Policy
from shim.rewrite import Trace
from tests.fake_block import Snapshot, disk
from tests.fake_jobs import Job, VMFaults
from tests.pure_router import NOW, ManualClock, ModelQEMU, a_monitor, a_session, hmp

SAVE_STEPS: Final = ["snapshot-save", "query-jobs", "job-dismiss"]


@dataclass(slots=True)
class Bench:
    """A rewriter on a modelled QEMU. written: the commands of each Write; done, handed_back: the effects of the ends."""

    qemu: ModelQEMU = field(default_factory=ModelQEMU)
    policy: Policy = field(default_factory=Policy)
    pretty: bool = False
    rewriter: Rewriter = field(init=False)
    written: list[list[str]] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    handed_back: list[HandBack] = field(default_factory=list)
    owed: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        layout = PRETTY if self.pretty else LINES
        new_id = map("hmpshim-{}".format, itertools.count(1)).__next__
        self.rewriter = Rewriter(a_monitor(), layout, self.policy, new_id, ManualClock().clock())

    def add(self, line: str, session: Session | None = None, id: object = 1) -> Session:
        session = session or a_session(negotiated=True)
        session.receive_data(hmp(line, id=id))
        request = session.next_request()
        assert isinstance(request, HMPRequest)
        self.apply(self.rewriter.add(session, request, Trace(NOW, 0, session.client, line)))
        return session

    def apply(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Write(commands):
                    self.written.append([command.command for command in commands])
                    for command in commands:
                        output = self.qemu.receive(command.to_wire())
                        self.owed += [raw for raw in output.splitlines(keepends=True) if b'"event"' not in raw]
                case Done():
                    self.done.append(effect)
                case HandBack():
                    self.handed_back.append(effect)

    def answer(self, count: int | None = None) -> None:
        """Give the replies that are due, or so many of them."""
        while self.owed and count != 0:
            self.apply(self.rewriter.receive_reply(self.owed.pop(0)))
            count = None if count is None else count - 1

    @property
    def records(self) -> list[AuditRecord]:
        return [done.record for done in self.done]

    def outcomes(self) -> list[tuple[str | None, Action]]:
        return [(record.command_line, record.action) for record in self.records]


def value(done: Done) -> Any:
    return json.loads(done.line)


def test_plan_runs_to_its_answer() -> None:
    bench = Bench()
    session = bench.add("savevm t", id="é")
    assert bench.rewriter.is_running
    bench.answer()
    assert not bench.rewriter.is_running
    assert bench.written[1:] == [SAVE_STEPS]
    (done,) = bench.done
    assert done.session is session
    assert done.line == b'{"return": "", "id": "\\u00E9"}\r\n'
    assert (done.record.action, done.record.reply) == (Action.REWRITTEN, {"return": "", "id": "é"})
    assert [sent.command.command for sent in done.record.sent] == bench.written[0] + SAVE_STEPS


def test_pretty_answer() -> None:
    bench = Bench(pretty=True)
    bench.add("delvm t")
    bench.answer()
    assert bench.done[0].line == b'{\r\n    "return": "",\r\n    "id": 1\r\n}\r\n'


def test_failure_is_a_return_in_hmps_words() -> None:
    bench = Bench()
    bench.add("loadvm none")
    bench.answer()
    text = "Error: Snapshot 'none' does not exist in one or more devices\r\n"
    assert value(bench.done[0]) == {"return": text, "id": 1}
    assert bench.outcomes() == [("loadvm none", Action.REWRITTEN)]


def test_refusal_sends_no_job() -> None:
    bench = Bench()
    for _ in range(2):
        bench.qemu.vm.graph["d0"].snapshots.append(Snapshot("9", "t", 1))
    bench.qemu.vm.graph["d1"].snapshots.append(Snapshot("9", "t"))
    bench.add("loadvm t")
    bench.answer()
    assert bench.outcomes() == [("loadvm t", Action.REFUSED)]
    assert value(bench.done[0])["return"].startswith("Error: ")
    assert len(bench.written) == 1


def test_plans_run_one_after_the_other() -> None:
    bench = Bench()
    sessions = [bench.add("savevm a"), bench.add("savevm b"), bench.add("delvm a")]
    assert len(bench.written) == 1
    bench.answer(count=6)
    assert bench.written[1:] == [SAVE_STEPS]
    bench.answer()
    assert [done.session for done in bench.done] == sessions
    assert bench.outcomes() == [(line, Action.REWRITTEN) for line in ("savevm a", "savevm b", "delvm a")]
    assert [names[0] for names in bench.written] == [
        "query-named-block-nodes", "snapshot-save", "query-named-block-nodes", "snapshot-save",
        "query-named-block-nodes", "snapshot-delete",
    ]  # fmt: skip


def test_plan_that_hands_back_leaves_the_next_to_run() -> None:
    bench = Bench(ModelQEMU(disk("d0", ro=True)))
    session = bench.add("savevm t")
    bench.add("savevm u")
    bench.answer(count=6)
    (handed_back,) = bench.handed_back
    assert handed_back.session is session
    assert handed_back.request.raw == hmp("savevm t", id=1)
    assert handed_back.reason == "there is no writable disk"
    assert [sent.command.command for sent in handed_back.trace.sent] == bench.written[0]
    assert len(bench.written) == 2
    bench.answer()
    assert [back.request.command_line for back in bench.handed_back] == ["savevm t", "savevm u"]
    assert not bench.rewriter.is_running


def test_nothing_to_rewrite_is_an_error() -> None:
    bench = Bench()
    session = a_session(negotiated=True)
    session.receive_data(hmp("stop"))
    request = session.next_request()
    assert isinstance(request, HMPRequest)
    with pytest.raises(ValueError, match="nothing to rewrite"):
        list(bench.rewriter.add(session, request, Trace(NOW, 0, session.client, "stop")))


@pytest.mark.parametrize("looks", range(1, 4))
def test_job_that_has_not_concluded_is_looked_at_again(looks: int) -> None:
    bench = Bench(ModelQEMU(faults=VMFaults(running_queries=looks)))
    bench.add("savevm t")
    bench.answer()
    for _ in range(looks):
        assert bench.rewriter.awaited_job == "hmpshim-1"
        bench.apply(bench.rewriter.resume())
        assert bench.rewriter.awaited_job is None
        bench.answer()
    assert bench.written[1:] == [SAVE_STEPS] + [SAVE_STEPS[1:]] * looks
    assert [value(done)["return"] for done in bench.done] == [""]
    assert bench.qemu.vm.jobs.rows == []


def test_no_job_is_awaited_when_nothing_runs() -> None:
    assert Bench().rewriter.awaited_job is None


def test_events_are_noted_on_the_running_plan() -> None:
    bench = Bench()
    bench.rewriter.receive_event("STOP")
    bench.add("savevm a")
    bench.add("savevm b")
    bench.answer(count=5)
    bench.rewriter.receive_event("STOP")
    bench.rewriter.receive_event("RESUME")
    bench.answer()
    assert [[event.name for event in record.events] for record in bench.records] == [["STOP", "RESUME"], []]


class TestRecovery:
    def test_nothing_to_recover(self) -> None:
        bench = Bench(ModelQEMU(jobs=[Job("theirs")]))
        bench.apply(bench.rewriter.recover())
        bench.answer()
        assert bench.written == [["query-jobs"]]
        assert bench.done == []
        assert [job.id for job in bench.qemu.vm.jobs.rows] == ["theirs"]

    def test_leftovers_are_dismissed_and_recorded(self) -> None:
        bench = Bench(ModelQEMU(jobs=[Job("hmpshim-a", error="disk full"), Job("theirs"), Job("hmpshim-b")]))
        bench.apply(bench.rewriter.recover())
        bench.answer()
        assert [(done.session, done.line) for done in bench.done] == [(None, b"")] * 2
        assert [(record.action, record.command_line, record.reply) for record in bench.records] == [
            (Action.RECOVERED, None, None)
        ] * 2
        assert [record.reason for record in bench.records] == [
            "job 'hmpshim-b' of an earlier connection ended: success",
            "job 'hmpshim-a' of an earlier connection ended: disk full",
        ]
        assert [job.id for job in bench.qemu.vm.jobs.rows] == ["theirs"]

    def test_running_leftover_is_waited_for_and_commands_wait_behind_it(self) -> None:
        bench = Bench(ModelQEMU(jobs=[Job("hmpshim-a", status="running")]))
        bench.apply(bench.rewriter.recover())
        bench.answer()
        bench.add("savevm t")
        assert bench.rewriter.awaited_job == "hmpshim-a"
        assert bench.written[-1] == SAVE_STEPS[1:]
        bench.qemu.vm.jobs.finish()
        bench.apply(bench.rewriter.resume())
        bench.answer()
        assert [record.action for record in bench.records] == [Action.RECOVERED, Action.REWRITTEN]

    def test_leftover_that_somebody_else_dismissed(self) -> None:
        bench = Bench(ModelQEMU(jobs=[Job("hmpshim-a", status="running")]))
        bench.apply(bench.rewriter.recover())
        bench.answer()
        bench.qemu.vm.jobs.rows.clear()
        bench.apply(bench.rewriter.resume())
        bench.answer()
        assert [record.reason for record in bench.records] == [
            "job 'hmpshim-a' of an earlier connection ended: "
            "the result of job 'hmpshim-a' is not known: somebody else dismissed it"
        ]

    def test_qemu_that_has_no_jobs_has_no_leftovers(self) -> None:
        bench = Bench()
        bench.apply(bench.rewriter.recover())
        bench.owed = [b'{"error": {"class": "CommandNotFound", "desc": "The command query-jobs has not been found"}}\r\n']
        bench.answer()
        assert bench.done == []
        assert not bench.rewriter.is_running


@pytest.mark.parametrize("answered", range(9))
def test_loss_at_every_reply_is_on_record_for_every_command(answered: int) -> None:
    bench = Bench()
    bench.add("savevm a")
    bench.add("savevm b")
    bench.answer(count=answered)
    records = bench.records + list(bench.rewriter.lose())
    assert [record.command_line for record in records] == ["savevm a", "savevm b"]
    lost = records[len(bench.records) :]
    assert lost
    assert {(record.action, record.reason, record.reply) for record in lost} == {(Action.REWRITTEN, LOST, None)}
    assert [sent.reply is None for sent in lost[0].sent] == sorted(sent.reply is None for sent in lost[0].sent)
    assert not bench.rewriter.is_running
    assert list(bench.rewriter.lose()) == []


def test_lost_recovery_is_not_on_record() -> None:
    bench = Bench(ModelQEMU(jobs=[Job("hmpshim-a")]))
    bench.apply(bench.rewriter.recover())
    assert list(bench.rewriter.lose()) == []

"""What becomes of the commands of clients that leave, and of everybody's when something of ours fails."""

from collections.abc import Callable, Generator, Iterator
from itertools import count
from typing import Any, Final

import pytest

from proxy.routing.abandonment import HUNG_UP, LEFT_UNANSWERED, STOPPED
from proxy.routing.dispatcher import Dispatcher
from proxy.sessions.session import Session
from shim.client import Client
from shim.decisions.plan_run import GIVEN_UP
from shim.graph.policy import Mode, Policy
from shim.plans import snapshot_plans
from shim.plans.intent import Intent
from shim.plans.plan import Replies, Step
from shim.plans.recovery import Written
from shim.qmp import Execute
from shim.records.audit import Action
from tests.fakes.jobs import Job, VMFaults
from tests.fakes.vm import VM
from tests.support.routing.pure_router import CAPABILITIES, GETFD, NAME, Desk, ModelQEMU, hmp, names
from tests.support.shim.graphs import patterns

NS_PER_S: Final = 10**9


def gone_client(desk: Desk, *, oob: bool = False) -> tuple[Session, list[bool]]:
    """Let a client in that hangs up when the list is emptied."""
    there = [True]
    session = desk.dispatcher.add_session(Client(9, 0, "/bin/gone"), lambda: not there)
    desk.said[session] = bytearray()
    desk.take()
    desk.send(session, CAPABILITIES if not oob else b'{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}')
    desk.said[session].clear()
    return session, there


def actions(desk: Desk) -> list[tuple[str | None, Action, str]]:
    return [(record.command_line, record.action, record.reason) for record in desk.records]


# -- clients that leave (R15) ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["savevm a", "delvm a", "loadvm a"])
def test_one_command_of_a_client_that_closed_at_once_is_begun(line: str) -> None:
    """`printf … | socat -t0`: all was read together, and nobody is there any more."""
    desk = Desk()
    session = desk.dispatcher.add_session(Client(), lambda: True)
    desk.said[session] = bytearray()
    desk.send(session, CAPABILITIES + hmp(line) + hmp("savevm b") + NAME + hmp("info x"))
    desk.dispatcher.abandonment.receive_hang_up(session)
    desk.take()
    desk.run()
    assert {record.command_line: record.action for record in desk.records} == {
        line: Action.REWRITTEN,
        "savevm b": Action.ABANDONED,
        "info x": Action.ABANDONED,
    }
    assert all(command["execute"] != "query-name" for command in desk.qemu.received)


def test_forwarded_commands_of_a_client_that_closed_at_once_are_as_many_as_qemu_would_run() -> None:
    desk = Desk()
    session, there = gone_client(desk)
    there.clear()
    desk.send(session, NAME * 3)
    assert desk.written().count(b"query-name") == 1
    desk.dispatcher.abandonment.receive_hang_up(session)
    desk.take()
    assert desk.written() == b""


def test_half_closed_client_is_answered_in_full() -> None:
    desk = Desk()
    session, _ = gone_client(desk)
    desk.send(session, hmp("savevm a") + hmp("savevm b") + NAME)
    desk.dispatcher.abandonment.receive_eof(session)
    desk.take()
    desk.run()
    assert names([value for value in desk.heard(session) if "event" not in value]) == ["return"] * 3
    assert session.is_finished


def test_half_closed_client_with_oob_is_treated_as_qemu_treats_it() -> None:
    desk = Desk()
    session, _ = gone_client(desk, oob=True)
    desk.send(session, hmp("savevm a") + hmp("savevm b") + NAME)
    desk.dispatcher.abandonment.receive_eof(session)
    desk.take()
    desk.run()
    assert sorted(actions(desk), key=repr) == [
        ("savevm a", Action.REWRITTEN, "done by snapshot jobs"),
        ("savevm b", Action.ABANDONED, HUNG_UP),
    ]


def test_client_that_hangs_up_while_it_waits_for_another_is_dropped() -> None:
    """Its turn comes, and it has gone without a sign on the stream that was read."""
    desk = Desk()
    other = desk.client()
    session, there = gone_client(desk)
    desk.send(other, hmp("savevm a"))
    desk.send(session, hmp("savevm b") + NAME)
    there.clear()
    desk.run()
    assert sorted(actions(desk), key=repr) == [
        ("savevm a", Action.REWRITTEN, "done by snapshot jobs"),
        ("savevm b", Action.ABANDONED, HUNG_UP),
    ]


@pytest.mark.parametrize(
    ("line", "stall_s", "is_run"),
    [("loadvm t", 0.5, True), ("loadvm t", 1.5, False), ("savevm t", 4, True), ("savevm t", 6, False), ("delvm t", 6, False)],
)
def test_plan_in_its_survey_is_given_up_when_it_comes_too_late(line: str, stall_s: float, is_run: bool) -> None:
    """QEMU stalls, the client's patience ends, and QEMU goes on: a VM that is rewound then has lost its present."""
    desk = Desk()
    desk.qemu.vm.save_snapshot("t", overwrite=False)
    session, there = gone_client(desk)
    desk.send(session, hmp(line))
    survey = desk.qemu.receive(desk.written())
    there.clear()
    desk.dispatcher.abandonment.receive_hang_up(session)
    desk.clock.pass_ns(round(stall_s * NS_PER_S))
    desk.receive(survey)
    desk.run()
    (outcome,) = actions(desk)
    if not is_run:
        assert outcome == (line, Action.ABANDONED, GIVEN_UP)
        assert not any(command["execute"].startswith("snapshot-") for command in desk.qemu.received)
        assert not any(command["execute"] == "human-monitor-command" for command in desk.qemu.received)
    else:
        assert outcome[1] in (Action.REWRITTEN, Action.DELEGATED)
    assert desk.turns.is_free


def test_client_that_waits_is_served_however_late() -> None:
    desk = Desk()
    session, _ = gone_client(desk)
    desk.send(session, hmp("savevm t"))
    survey = desk.qemu.receive(desk.written())
    desk.clock.pass_ns(100 * NS_PER_S)
    desk.receive(survey)
    desk.run()
    assert [action for _, action, _ in actions(desk)] == [Action.REWRITTEN]


def test_limits_are_settings() -> None:
    desk = Desk(policy=Policy(abandon_after_s=0, abandon_load_after_s=100))
    desk.qemu.vm.save_snapshot("t", overwrite=False)
    for line in ("savevm u", "loadvm t"):
        session, there = gone_client(desk)
        desk.send(session, hmp(line))
        there.clear()
        desk.run()
    assert [(line, action) for line, action, _ in actions(desk)] == [
        ("savevm u", Action.ABANDONED),
        ("loadvm t", Action.REWRITTEN),
    ]


def test_retrying_client_saves_once() -> None:
    desk = Desk()
    sessions = []
    for _ in range(4):
        session, there = gone_client(desk)
        desk.send(session, hmp("savevm t"))
        sessions.append(session)
        there.clear()
        desk.dispatcher.abandonment.receive_hang_up(session)
        desk.take()
    desk.run()
    assert [action for _, action, _ in actions(desk)].count(Action.REWRITTEN) == 1
    assert desk.qemu.vm.graph["d0"].count("t") == 1


def test_descriptors_of_what_is_dropped_are_closed() -> None:
    desk = Desk()
    session, _ = gone_client(desk)
    desk.send(session, hmp("savevm t"))
    desk.send(session, GETFD, (7,))
    desk.dispatcher.abandonment.receive_hang_up(session)
    desk.take()
    assert desk.closed == [7]


# -- the end of the proxy -------------------------------------------------------------------------------------------------


def test_stopped_dispatcher_begins_nothing_and_answers_what_was_begun() -> None:
    desk = Desk()
    first, second = desk.client(number=1), desk.client(number=2)
    desk.send(second, hmp("info x", id=1) + NAME)
    desk.send(first, hmp("savevm a") + hmp("savevm b"))
    desk.send(second, hmp("info y"))
    desk.dispatcher.stop()
    desk.take()
    assert not desk.dispatcher.owes_nothing
    desk.run()
    assert desk.dispatcher.owes_nothing
    assert sorted(actions(desk), key=repr) == [
        ("info x", Action.PASSED, "not a snapshot command"),
        ("info y", Action.ABANDONED, STOPPED),
        ("savevm a", Action.REWRITTEN, "done by snapshot jobs"),
        ("savevm b", Action.ABANDONED, STOPPED),
    ]


def test_what_is_left_unanswered_is_on_record() -> None:
    desk = Desk()
    first, second = desk.client(number=1), desk.client(number=2)
    desk.send(second, hmp("stop") + NAME)
    desk.send(first, hmp("savevm a"))
    assert desk.dispatcher.give_up() == 3
    desk.take()
    assert sorted(actions(desk), key=repr) == [
        ("savevm a", Action.REWRITTEN, LEFT_UNANSWERED),
        ("stop", Action.PASSED, LEFT_UNANSWERED),
    ]
    assert desk.dispatcher.give_up() == 0


# -- failures of our own (R16) --------------------------------------------------------------------------------------------


class OurFailure(Exception):
    pass


def failing_at(monkeypatch: pytest.MonkeyPatch, failing_step: int) -> None:
    """Have every plan raise instead of its step of this number."""
    whole = snapshot_plans.plan

    def plan(*arguments: Any) -> Generator[Step, Replies, Any]:
        playing = whole(*arguments)
        replies: Replies | None = None
        try:
            for number in count():
                step = next(playing) if replies is None else playing.send(replies)
                if number == failing_step:
                    raise OurFailure(f"at step {number}")
                replies = yield step
        except StopIteration as stop:
            if failing_step == -1:
                raise OurFailure("at the end") from None
            return stop.value

    monkeypatch.setattr("shim.plans.snapshot_plans.plan", plan)


def _tagged(vm: VM) -> None:
    vm.save_snapshot("t", overwrite=False)


PLANS: Final[list[tuple[str, Policy]]] = [
    ("savevm new", Policy()),
    ("savevm t", Policy(vmstate=patterns("d1"))),
    ("loadvm t", Policy()),
    ("delvm t", Policy()),
    ("info snapshots", Policy(vmstate=patterns("d1"))),
]


@pytest.mark.parametrize(("line", "policy"), PLANS, ids=[line for line, _ in PLANS])
@pytest.mark.parametrize("step", range(-1, 12))
def test_failure_at_every_step_of_every_plan_is_contained(
    line: str, policy: Policy, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_at(monkeypatch, step)
    desk = Desk(policy=policy)
    _tagged(desk.qemu.vm)
    client, other = desk.client(number=1), desk.client(number=2)
    desk.send(client, hmp(line, id=1) + NAME)
    desk.send(other, b'{"execute":"query-name","id":2}')
    desk.run()
    replies = [value for value in desk.heard(client) if "event" not in value]
    assert [reply.get("id") for reply in replies] == [1, None]
    assert [value["id"] for value in desk.heard(other) if "event" not in value] == [2]
    assert desk.dispatcher.owes_nothing
    (record,) = [record for record in desk.records if record.command_line is not None]
    has_failed = any(isinstance(notice, OurFailure) for notice in desk.notices)
    changed = [sent for sent in record.sent if not sent.command.command.startswith(("query-", "x-debug"))]
    if not has_failed:
        assert step > 0  # the plan is shorter
        return
    assert len([notice for notice in desk.notices if isinstance(notice, Exception)]) == 1
    if changed:
        assert replies[0]["return"].startswith("Error: hmpshim has failed while it did this, so the outcome is not known")
        assert record.action is Action.REWRITTEN
    else:
        assert record.action is Action.PASSED
        assert {"command-line": line} in [command.get("arguments") for command in desk.qemu.received]
    assert desk.qemu.vm.jobs.rows == []


def test_record_that_cannot_be_made_costs_nobody_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OurFailure

    monkeypatch.setattr("proxy.routing.recorder.Recorder.record", fail)
    desk = Desk()
    client = desk.client()
    desk.send(client, hmp("info x", id=1) + NAME)
    desk.run()
    assert names(desk.heard(client)) == ["return", "return"]
    assert [type(notice) for notice in desk.notices] == [OurFailure]


def test_comparison_that_fails_is_told_and_costs_nobody_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OurFailure

    monkeypatch.setattr("shim.records.audit.Rehearsed.compare", fail)
    desk = Desk(policy=Policy(mode=Mode.OBSERVE))
    client = desk.client()
    desk.send(client, hmp("savevm t", id=1) + NAME)
    desk.run()
    assert [value.get("id") for value in desk.heard(client) if "event" not in value] == [1, None]
    assert [type(notice) for notice in desk.notices] == [OurFailure]
    (record,) = desk.records
    assert (record.action, record.reply) == (Action.OBSERVED, {"return": "", "id": 1})
    assert desk.dispatcher.owes_nothing


@pytest.mark.parametrize("what", ["spell_reply", "record"])
def test_answer_that_cannot_be_made_leaves_the_others_alone(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[bool] = []

    def failing_once(whole: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if not failed:
                failed.append(True)
                raise OurFailure
            return whole(*arguments, **named)

        return call

    desk = Desk()
    client, other = desk.client(number=1), desk.client(number=2)
    desk.send(client, hmp("savevm a", id=1) + NAME)
    desk.send(other, hmp("savevm b", id=2))
    if what == "record":
        from proxy.routing.recorder import Recorder

        monkeypatch.setattr(Recorder, "record", failing_once(Recorder.record))
    else:
        from proxy.qmp_json.messages import MonitorFormat

        monkeypatch.setattr(MonitorFormat, "spell_reply", failing_once(MonitorFormat.spell_reply))
    desk.run()
    replies = [value for value in desk.heard(client) if "event" not in value]
    assert [reply.get("id") for reply in replies] == [1, None]
    assert replies[0]["return"].startswith("Error: hmpshim has failed")
    assert [value["return"] for value in desk.heard(other) if "event" not in value] == [""]
    assert desk.dispatcher.owes_nothing


def test_recovery_that_fails_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Iterator[Step]:
        raise OurFailure
        yield

    monkeypatch.setattr("proxy.routing.plan_maker.recover", fail)
    desk = Desk()
    desk.start([Written(Intent("t", None, "d0", ("d0",), "job"), 1.0)])
    client = desk.client()
    desk.send(client, hmp("savevm a", id=1))
    desk.run()
    assert [value["return"] for value in desk.heard(client) if "event" not in value] == [""]
    assert [type(notice) for notice in desk.notices] == [OurFailure]


@pytest.mark.parametrize("by", ["event", "poll"])
def test_plan_that_fails_when_its_job_is_looked_at_again_frees_the_others(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(ModelQEMU(faults=VMFaults(running_queries=1, announces_late=by == "event")))
    client, other = desk.client(number=1), desk.client(number=2)
    desk.send(client, hmp("savevm a", id=1))
    desk.run()
    desk.send(other, NAME)

    def fail(*_: object, **__: object) -> None:
        raise OurFailure

    monkeypatch.setattr("shim.plans.jobs._look", fail)
    if by == "event":
        desk.qemu.vm.jobs.finish()
        desk.receive(desk.qemu.take_output())
    else:
        desk.dispatcher.poll()
        desk.take()
    monkeypatch.undo()
    desk.run()
    (answer,) = [value for value in desk.heard(client) if "event" not in value]
    assert answer["return"].startswith("Error: hmpshim has failed while it did this")
    assert names([value for value in desk.heard(other) if "event" not in value]) == ["return"]
    assert desk.dispatcher.owes_nothing


def test_command_of_ours_that_cannot_be_spelled_leaves_no_place_in_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Execute) -> bytes:
        raise OurFailure

    desk = Desk()
    client = desk.client()
    monkeypatch.setattr(Execute, "to_wire", fail)
    desk.send(client, hmp("savevm a", id=1))
    monkeypatch.undo()
    desk.send(client, b'{"execute":"query-name","id":2}')
    desk.run()
    replies = [value for value in desk.heard(client) if "event" not in value]
    assert [reply["id"] for reply in replies] == [1, 2]
    assert replies[0]["return"].startswith("Error: hmpshim has failed")
    assert desk.dispatcher.owes_nothing


def test_recovery_whose_record_cannot_be_made_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OurFailure

    monkeypatch.setattr("proxy.routing.recorder.Recorder.record", fail)
    desk = Desk(ModelQEMU(jobs=[Job("hmpshim-a", status="concluded")]))
    desk.start()
    desk.run()
    monkeypatch.undo()
    assert OurFailure in map(type, desk.notices)
    assert desk.dispatcher.owes_nothing
    client = desk.client()
    desk.send(client, hmp("savevm a"))
    desk.run()
    assert desk.said[client].endswith(b'{"return": ""}\r\n')


def test_descriptors_that_nothing_takes_are_closed_when_others_come() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, b'{"execute":"query-name"}', descriptors=(91,))
    desk.send(client, b'{"execute":"query-name"}', descriptors=(92,))
    assert desk.closed == [91]


def test_device_that_goes_ends_what_was_known_of_the_disks() -> None:
    desk = Desk()
    client = desk.client()

    def asks_for_the_backends() -> bool:
        desk.qemu.received.clear()
        desk.send(client, hmp("delvm nosuch"))
        desk.run()
        return "query-block" in [command["execute"] for command in desk.qemu.received]

    assert [asks_for_the_backends() for _ in range(2)] == [True, False]
    event = b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "DEVICE_DELETED", "data": {"path": "/x"}}\r\n'
    desk.receive(event)
    assert event in desk.said[client]
    assert [asks_for_the_backends() for _ in range(2)] == [True, False]


def test_event_that_is_spelled_otherwise_is_passed_on() -> None:
    desk = Desk()
    client = desk.client()
    event = b'{"timestamp":{"seconds":1,"microseconds":2},"event":"POWERDOWN"}\r\n'
    desk.receive(event)
    assert desk.said[client].endswith(event)


def test_nothing_is_owed_once_all_that_was_begun_is_answered() -> None:
    desk = Desk()
    dispatcher: Dispatcher = desk.dispatcher
    client = desk.client(oob=True)
    for command, owed in ((NAME, b'{"return": {}}\r\n'), (b'{"exec-oob":"x"}', b'{"return": {}, "id": "hmpshim-1"}\r\n')):
        assert dispatcher.owes_nothing
        desk.send(client, command)
        assert not dispatcher.owes_nothing
        desk.receive(owed)
    assert dispatcher.owes_nothing

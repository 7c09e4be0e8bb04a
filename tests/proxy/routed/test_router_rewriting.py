"""Rewritten commands among all others, without sockets: QEMU is a model, and can be lost at every step."""

import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final

import pytest

from proxy.routing.abandonment import HUNG_UP, QEMU_WENT
from proxy.routing.plan_runner import LOST
from shim.graph.policy import Policy
from shim.qmp import QEMUVersion
from shim.records.audit import Action
from tests.fakes.faults import When
from tests.fakes.jobs import Job, VMFaults
from tests.fakes.vm import VM
from tests.support.routing.pure_router import GETFD, NAME, Desk, ModelQEMU, hmp, job_event, line, names, reply, run_state
from tests.support.shim.graphs import patterns


def test_records_come_before_the_answers() -> None:
    for command in ("savevm t", "loadvm none", "info x"):
        desk = Desk()
        client = desk.client()
        desk.order.clear()
        desk.send(client, hmp(command))
        desk.run()
        assert desk.order.index("record") < len(desk.order) - 1 - desk.order[::-1].index("answer")
        answered = [value for value in desk.heard(client) if "return" in value]
        assert [record.reply for record in desk.records] == answered


def test_events_of_a_save_come_before_its_reply() -> None:
    desk = Desk()
    client, other = desk.client(number=1), desk.client(number=2)
    desk.send(client, hmp("savevm t", id="s"))
    desk.run()
    assert names(desk.heard(client)) == ["STOP", "RESUME", "return"]
    assert names(desk.heard(other)) == ["STOP", "RESUME"]


def test_commands_of_all_clients_wait_for_a_plan() -> None:
    """R14: in-band ones. Out-of-band ones and events go on."""
    desk = Desk()
    client, other, oob = desk.client(number=1), desk.client(number=2), desk.client(number=3, oob=True)
    desk.send(client, hmp("savevm t", id=1) + b'{"execute":"query-status","id":2}' + b"[]")
    desk.send(other, b'{"execute":"query-name","id":3}')
    desk.send(oob, b'{"exec-oob":"query-yank","id":4}{"execute":"query-name","id":5}')
    survey = desk.written()
    assert not any(b'"id":%d' % number in survey for number in (2, 3, 4, 5))
    assert b"query-yank" in survey
    desk.receive(desk.qemu.receive(survey))
    assert [value["id"] for value in desk.heard(oob) if "id" in value] == [4]
    job = desk.written()
    assert b"snapshot-save" in job
    assert b"query-name" not in job
    desk.receive(desk.qemu.receive(job))
    after = desk.written()
    assert re.findall(rb'"id":([0-9])', after) == [b"3", b"5", b"2"]
    desk.receive(desk.qemu.receive(after))
    assert [value.get("id") for value in desk.heard(client) if "event" not in value] == [1, 2, None]
    assert [value["id"] for value in desk.heard(other) if "id" in value] == [3]


@pytest.mark.parametrize("command", ["savevm new", "savevm t", "loadvm t", "delvm t", "info snapshots"])
@pytest.mark.parametrize(
    "raw",
    [
        b'{"execute":"quit"}',
        b'{"execute":"system_reset"}',
        b'{"execute":"cont"}',
        b'{"execute":"device_del","arguments":{"id":"x"}}',
        b'{"execute":"snapshot-delete","arguments":{"job-id":"j","tag":"t","devices":["d0"]}}',
        b'{"execute":"query-jobs","id":1}',
        hmp("quit").strip(),
        hmp("savevm other").strip(),
        b'{"execute":"getfd","arguments":{"fdname":"x"}}',
    ],
    ids=lambda raw: raw.decode()[:40],
)
def test_nothing_gets_between_the_steps_of_a_plan(command: str, raw: bytes) -> None:
    """Sent at each step, it goes to QEMU after the plan's last one."""
    for step in count():
        desk = Desk(policy=Policy(vmstate=patterns("d1")))
        _on_all(desk.qemu.vm)
        client, other = desk.client(number=1), desk.client(number=2)
        desk.send(client, hmp(command))
        for _ in range(step):
            desk.receive(desk.qemu.receive(desk.written()))
        if desk.turns.is_free:
            break
        own = len(desk.to_qemu)
        desk.send(other, raw)
        assert len(desk.to_qemu) == own
        while not desk.records and b'"return"' not in desk.said[client]:
            sent = desk.written()
            assert raw not in sent
            desk.receive(desk.qemu.receive(sent))
            if desk.turns.is_free:
                break
        first = desk.written()
        assert first.startswith(raw) or (b"savevm other" in raw and first.startswith(b'{"execute":"query-'))
    assert step >= (1 if command == "info snapshots" else 2)


def test_job_of_another_monitor_meanwhile_is_noticed() -> None:
    """It does not lead through the proxy, so it cannot be held; R14 asks for notice afterwards."""
    desk = Desk()
    client = desk.client()
    desk.send(client, hmp("savevm t"))
    desk.receive(desk.qemu.receive(desk.written()))
    desk.receive(job_event("backup0", "created"))
    desk.run()
    (record,) = desk.records
    assert record.reason == "done by snapshot jobs; another monitor of QEMU began the job 'backup0' meanwhile"
    (notice,) = desk.notices
    assert str(notice).startswith("while 'savevm t' was carried out, another monitor of QEMU began the job 'backup0'")
    assert names(desk.heard(client)) == ["JOB_STATUS_CHANGE", "STOP", "RESUME", "return"]
    desk.receive(job_event("backup1", "created"))
    desk.send(client, hmp("delvm t"))
    desk.run()
    assert desk.records[-1].reason == "done by snapshot jobs"


def test_events_are_noted_on_the_command_that_runs() -> None:
    desk = Desk()
    rewriting, passing, plain = desk.client(number=1), desk.client(number=2), desk.client(number=3)
    desk.send(plain, b'{"execute":"stop"}')
    desk.send(passing, hmp("stop"))
    desk.written()
    desk.receive(run_state("STOP") + reply(0) + run_state("RESUME") + line({"return": ""}))
    desk.send(rewriting, hmp("savevm t"))
    desk.run()
    events = [(record.command_line, [event.name for event in record.events]) for record in desk.records]
    assert events == [("stop", ["RESUME"]), ("savevm t", ["STOP", "RESUME"])]


def test_events_are_noted_behind_a_local_answer_that_is_still_due() -> None:
    desk = Desk()
    first, second = desk.client(number=1), desk.client(number=2)
    desk.send(first, NAME + b"[]")
    desk.send(second, hmp("stop"))
    desk.receive(reply(1) + run_state("STOP") + line({"return": ""}))
    assert [[event.name for event in record.events] for record in desk.records] == [["STOP"]]


def test_client_that_left_before_the_answer_is_on_record() -> None:
    """R15: what has begun goes on, what has not never will."""
    desk = Desk()
    client = desk.client()
    desk.send(client, hmp("savevm t") + hmp("delvm t"))
    desk.dispatcher.abandonment.receive_hang_up(client)
    desk.dispatcher.abandonment.remove_session(client)
    desk.run()
    records = {record.command_line: (record.action, record.client_gone, record.reason) for record in desk.records}
    assert records == {
        "savevm t": (Action.REWRITTEN, True, "done by snapshot jobs"),
        "delvm t": (Action.ABANDONED, False, HUNG_UP),
    }
    assert desk.said[client] == b""


def test_plan_that_hands_back_forwards_the_clients_bytes() -> None:
    desk = Desk(ModelQEMU(faults=VMFaults(is_graph_refused=True)))
    client = desk.client()
    raw = b" {'execute':'human-monitor-command', 'arguments': {'command-line':'savevm t'}, 'id': 1.0}\n"
    desk.send(client, raw + NAME)
    desk.receive(desk.qemu.receive(desk.written()))
    assert desk.written() == raw
    desk.qemu.vm.faults.is_graph_refused = False
    desk.receive(line({"return": "", "id": 1}))
    assert desk.written() == NAME
    desk.receive(reply(2))
    assert [value["id"] for value in desk.heard(client)] == [1, 2]
    (record,) = desk.records
    assert record.action is Action.PASSED
    assert record.reason == "QEMU refuses the query: Unstable command x-debug-query-block-graph disabled by policy"
    assert desk.dispatcher.plans.is_idle


def test_old_qemu_gets_the_clients_bytes() -> None:
    desk = Desk(version=QEMUVersion(5, 2))
    client = desk.client()
    desk.send(client, hmp("info snapshots"))
    desk.run()
    assert names(desk.heard(client))[-1] == "return"


@pytest.mark.parametrize("pretty", [False, True])
def test_leftovers_are_finished_dismissed_and_recorded(pretty: bool) -> None:
    jobs = [Job("hmpshim-a"), Job("theirs"), Job("hmpshim-b", error="no room")]
    desk = Desk(ModelQEMU(pretty=pretty, jobs=jobs))
    desk.start()
    client = desk.client()
    desk.send(client, hmp("savevm t", id=1))
    desk.run()
    assert [job.id for job in desk.qemu.vm.jobs.rows] == ["theirs"]
    recovered = [record.reason for record in desk.records if record.action is Action.RECOVERED]
    assert recovered == [
        "job 'hmpshim-b' of an earlier connection ended: no room",
        "job 'hmpshim-a' of an earlier connection ended: success",
    ]
    assert [value["id"] for value in desk.heard(client) if "return" in value] == [1]


def test_running_leftover_holds_nobody_up() -> None:
    desk = Desk(ModelQEMU(jobs=[Job("hmpshim-a", status="running")]))
    desk.start()
    desk.run()
    assert desk.dispatcher.plans.awaiting
    client = desk.client()
    desk.send(client, hmp("savevm t"))
    desk.run()
    assert desk.said[client].endswith(b'{"return": ""}\r\n')
    desk.qemu.vm.jobs.finish()
    desk.receive(desk.qemu.take_output())
    desk.run()
    assert [record.action for record in desk.records] == [Action.REWRITTEN, Action.RECOVERED]
    assert desk.dispatcher.plans.is_idle


@pytest.mark.parametrize("by", ["event", "poll"])
def test_job_that_does_not_conclude_at_once(by: str) -> None:
    """R13: by the event, and by polling where no event comes."""
    desk = Desk(ModelQEMU(faults=VMFaults(running_queries=3, announces_late=by == "event")))
    client = desk.client()
    desk.send(client, hmp("savevm t", id=1))
    desk.run()
    assert desk.dispatcher.plans.awaiting
    assert names(desk.heard(client)) == []
    if by == "event":
        desk.qemu.vm.jobs.finish()
        desk.receive(desk.qemu.take_output())
        desk.run()
    while by == "poll" and desk.dispatcher.plans.awaiting:
        desk.dispatcher.poll()
        desk.take()
        desk.run()
    assert names(desk.heard(client))[-1] == "return"
    assert desk.qemu.vm.jobs.rows == []
    assert desk.qemu.vm.graph["d0"].count("t") == 1
    desk.dispatcher.poll()
    assert desk.written() == b""


# --- Losing QEMU ------------------------------------------------------------------------------------------------------

Prepare = Callable[[VM], None]


def _on_all(vm: VM) -> None:
    vm.save_snapshot("t", overwrite=False)


def _on_some(vm: VM) -> None:
    _on_all(vm)
    vm.graph["d1"].snapshots.clear()


PLANS: Final[list[tuple[str, Prepare]]] = [
    ("savevm t", lambda vm: None),
    ("savevm t", _on_all),
    ("savevm t", _on_some),
    ("savevm", lambda vm: None),
    ("loadvm t", _on_all),
    ("loadvm t", lambda vm: None),
    ("delvm t", _on_all),
    ("info snapshots", _on_all),
    ("stop", lambda vm: None),
]


@pytest.mark.parametrize(("command", "prepare"), PLANS, ids=[f"{line} {number}" for number, (line, _) in enumerate(PLANS)])
def test_qemu_lost_at_every_step_of_every_plan(command: str, prepare: Prepare) -> None:
    """Nothing is invented for the client, and the record says that the outcome is not known."""
    for lost_at in count():
        desk = Desk()
        prepare(desk.qemu.vm)
        client = desk.client()
        desk.send(client, hmp(command, id=1) + NAME)
        assert not desk.records
        for number, output in enumerate(_outputs(desk)):
            if number == lost_at:
                break
            desk.receive(output)
            if desk.records:
                return
        answered = bytes(desk.said[client])
        desk.lose()
        assert desk.said[client] == answered
        assert b'"return"' not in answered
        (record,) = desk.records
        assert (record.command_line, record.reason, record.reply) == (command, LOST, None)
        assert desk.dispatcher.plans.is_idle
        assert not desk.dispatcher.plans.awaiting
        desk.lose()
        assert len(desk.records) == 1


def _outputs(desk: Desk) -> Iterator[bytes]:
    """Return QEMU's output piece by piece: before each command, behind its effect, and with its reply."""
    while data := desk.written():
        for _, when, output in desk.qemu.steps(data):
            assert when in When
            yield output


def test_all_waiting_commands_are_on_record_when_qemu_is_lost() -> None:
    desk = Desk()
    first, second = desk.client(number=1), desk.client(number=2)
    desk.send(second, hmp("info x"))
    desk.send(first, hmp("savevm a") + hmp("savevm never"))
    desk.send(second, hmp("savevm b"))
    desk.send(second, GETFD, (5,))
    desk.lose()
    assert {record.command_line: (record.action, record.reason) for record in desk.records} == {
        "info x": (Action.PASSED, LOST),
        "savevm a": (Action.REWRITTEN, LOST),
        "savevm never": (Action.ABANDONED, QEMU_WENT),
        "savevm b": (Action.ABANDONED, QEMU_WENT),
    }
    assert all(record.reply is None for record in desk.records)
    assert desk.closed == [5]

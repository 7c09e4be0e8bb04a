"""From a plan's first command to its answer, no other client's in-band command comes to QEMU; out-of-band ones and events flow.

Seen at the relay, in the order in which QEMU gets the commands. What a client other than the one with the plan sends has an
id by which it is known there.
"""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.integration.faults.relay import Gate, Kind, Relay
from tests.integration.faults.stage import STICK, Stage, hmp_bytes, staged
from tests.integration.faults.steps import STEPS, Phase, Scenario, Step, is_done
from tests.integration.outcomes import images_of
from tests.support.raw_client import RawClient, command_bytes, is_reply

pytestmark = [pytest.mark.needs_snapshot_jobs, pytest.mark.matrix]

FOREIGN: Final = "foreign"
INTRUDERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "cont": ("cont", {}),
    "stop": ("stop", {}),
    "device-del": ("device_del", {"id": STICK}),
    "passed-hmp": ("human-monitor-command", {"command-line": "info status"}),
    "passed-savevm": ("human-monitor-command", {"command-line": "savevm a b"}),
    "query": ("query-name", {}),
    "jobs": ("query-jobs", {}),
    "blockdev": ("blockdev-add", {"driver": "null-co", "node-name": "added", "read-only": True}),
}
# Where QEMU could take another command: it is not in the middle of one.
HELD_STEPS: Final = [step for step in STEPS if not step.freezes and step.phase is not Phase.RECOVERING]
SCENARIOS: Final = [scenario for scenario in Scenario if scenario is not Scenario.RECOVERY]
BURST: Final = 20


def foreign(name: str, arguments: dict[str, Any], number: int = 0) -> bytes:
    return command_bytes(name, arguments, f"{FOREIGN}-{number}")


def fell_between(relay: Relay, since: int) -> list[str]:
    """Name the other clients' commands that came to QEMU between the plan's first command and the answer to its last one."""
    messages = [one for one in relay.arrived[since:] if one.kind is not Kind.EVENT and not one.is_out_of_band]
    is_foreign = [str(one.content.get("id", "")).startswith(FOREIGN) for one in messages]
    first, *_ = (n for n, one in enumerate(messages) if one.kind is Kind.COMMAND and not is_foreign[n])
    last = max(n for n, one in enumerate(messages) if not is_foreign[n] and one.kind is Kind.REPLY)
    return [messages[n].name for n in range(first, last) if is_foreign[n] and messages[n].kind is Kind.COMMAND]


def await_looking_around(stage: Stage, client: RawClient) -> None:
    """Wait until the proxy has looked what is on the disks, as it does when it has connected, which holds nobody up."""
    while not stage.relay.replies("query-named-block-nodes"):
        client.returned("query-status")
    client.returned("query-status")  # its last answers came before this one


@dataclass(frozen=True, slots=True)
class Held:
    """A plan that stands still at a gate. since: how many messages there were before it."""

    stage: Stage
    gate: Gate
    client: RawClient
    other: RawClient
    since: int


@contextmanager
def held(step: Step) -> Iterator[Held]:
    """Bring a command to a step; at last it goes on."""
    with staged(step.scenario.firmware, step.scenario.options) as stage:
        client, other = stage.client(), stage.client()
        await_looking_around(stage, other)
        since = len(stage.relay.arrived)
        gate = stage.gate(step.condition())
        client.send(hmp_bytes(step.scenario.line))
        gate.wait()
        try:
            yield Held(stage, gate, client, other, since)
        finally:
            gate.open()


@pytest.mark.parametrize("intruder", INTRUDERS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_command_of_another_client_waits_for_the_answer(scenario: Scenario, intruder: str) -> None:
    """At a step that is chosen by the pair's name, the same each time."""
    steps = [step for step in HELD_STEPS if step.scenario is scenario]
    step = random.Random(f"{scenario.name} {intruder}").choice(steps)
    with held(step) as at:
        at.other.send(foreign(*INTRUDERS[intruder]))
        at.stage.see_loop()
        at.gate.open()
        reply = json.loads(at.client.read_until_reply()[-1])
        assert "return" in json.loads(at.other.read_until_reply()[-1])
        assert fell_between(at.stage.relay, at.since) == []
        assert not reply["return"].startswith("Error")
        assert is_done(scenario, at.stage.end())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_many_commands_before_and_behind_are_answered_in_order(scenario: Scenario) -> None:
    with staged(scenario.firmware, scenario.options) as stage:
        client, other = stage.client(), stage.client()
        await_looking_around(stage, other)
        since = len(stage.relay.arrived)
        other.send(b"".join(foreign("query-name", {}, number) for number in range(BURST)))
        client.send(hmp_bytes(scenario.line))
        other.send(b"".join(foreign("query-status", {}, number) for number in range(BURST, 2 * BURST)))
        client.read_until_reply()
        replies = [json.loads(other.read_until_reply()[-1]) for _ in range(2 * BURST)]
        assert [reply["id"] for reply in replies] == [f"{FOREIGN}-{number}" for number in range(2 * BURST)]
        assert fell_between(stage.relay, since) == []
        assert is_done(scenario, stage.end())


@pytest.mark.parametrize("step", HELD_STEPS, ids=lambda step: step.name)
def test_out_of_band_command_does_not_wait(step: Step) -> None:
    with held(step) as at, at.stage.proxy.connect() as urgent:
        urgent.negotiate(oob=True)
        urgent.send(b'{"exec-oob": "query-yank", "id": "now"}\n')
        reply = json.loads(urgent.read_until_reply()[-1])
        assert (list(reply), reply["id"]) == (["return", "id"], "now")
        assert not at.gate.is_open


def test_events_do_not_wait() -> None:
    (step,) = (step for step in STEPS if step.name == "new-job-written")
    with held(step) as at:
        observer = at.stage.observer()
        observer.returned("stop")
        for waiting in (at.client, at.other):
            assert not any(map(is_reply, waiting.read_until_event("STOP")))
        at.gate.open()
        assert at.client.read_until_reply()[-1] == b'{"return": ""}\r\n'
        assert [tag for tag, _ in images_of(observer)["d0.qcow2"]] == ["t", "u"]

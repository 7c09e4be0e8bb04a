"""The faults of the fault matrix, and what is seen when one strikes at a step.

The fault strikes while the conversation between the proxy and QEMU stands still at the step; then it goes on.
"""

import json
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from tests.integration.faults.disks import Disks, is_internal, look_at
from tests.integration.faults.relay import Gate, Kind, Message
from tests.integration.faults.stage import IMAGES, NODES, STICK, Stage, hmp_bytes, staged, template
from tests.integration.faults.steps import Phase, Scenario, Step
from tests.integration.outcomes import Images, images_of
from tests.integration.qemu_vm import RETRY_S
from tests.support.raw_client import DEADLINE_S, ConnectionLostError, RawClient, command_bytes, negotiated

__all__ = [
    "SENT_BY_ANOTHER",
    "Outcome",
    "Strike",
    "comes_true",
    "connect_tcp",
    "final_records",
    "free_port",
    "leave_a_job",
    "play",
    "reply_of",
    "reset",
    "tells_of_t",
    "wait_until",
]


class Strike(Enum):
    """The rows of the matrix."""

    CLOSE = "the client closes"
    HALF_CLOSE = "the client half-closes"
    RESET = "the client resets its TCP connection"
    UNREAD = "the client does not read"
    QUIT = "another client sends `quit`"
    SYSTEM_RESET = "another client sends `system_reset`"
    DEVICE_DEL = "another client sends `device_del`"
    MODERN = "another client sends `snapshot-save`"
    SIGTERM_PROXY = "SIGTERM to the proxy"
    SIGKILL_PROXY = "SIGKILL to the proxy"
    SIGTERM_QEMU = "SIGTERM to QEMU"
    SIGKILL_QEMU = "SIGKILL to QEMU"
    FREEZE = "SIGSTOP and SIGCONT to QEMU"


_MODERN: Final = {"job-id": "modern", "tag": "m", "vmstate": NODES[0], "devices": list(NODES)}
# What the second client sends.
SENT_BY_ANOTHER: Final = {
    Strike.QUIT: command_bytes("quit"),
    Strike.SYSTEM_RESET: command_bytes("system_reset"),
    Strike.DEVICE_DEL: command_bytes("device_del", {"id": STICK}),
    Strike.MODERN: command_bytes("snapshot-save", _MODERN),
}


@dataclass(slots=True)
class Outcome:
    """What was seen.

    answer: the reply to the command; None if the connection ended before it, or nobody was there to read it.
    other_answer: the same of the other client.
    before: the disks at first; left: when QEMU had died; disks: at the end, after the next start if there was one.
    needs_telling: the next start found an internal tag, or no `t`; is_told: it put that on record. is_tidy: it left no job
    and no internal tag, but for an only copy.
    """

    step: Step
    before: Disks
    answer: dict[str, Any] | None = None
    other_answer: dict[str, Any] | None = None
    left: Disks | None = None
    disks: Disks = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    is_tidy: bool = False
    needs_telling: bool = False
    is_told: bool = False
    arrived: list[Message] = field(default_factory=list)
    stderr: str = ""


def comes_true(is_so: Callable[[], bool], within_s: float = DEADLINE_S) -> bool:
    """Wait for something that another process does, and tell whether it did."""
    deadline = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(RETRY_S)
    return True


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    assert comes_true(is_so), f"waited in vain for {what}"


def reply_of(client: RawClient) -> dict[str, Any] | None:
    """Read up to the next reply; None if the connection ends before."""
    try:
        reply: dict[str, Any] = json.loads(client.read_until_reply()[-1])
    except ConnectionLostError:
        return None
    return reply


def final_records(records: Sequence[dict[str, Any]], line: str) -> list[dict[str, Any]]:
    """Return the records that tell what became of a command."""
    return [record for record in records if record["command_line"] == line and record["action"] != "begun"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def connect_tcp(port: int) -> RawClient:
    """Connect to a proxy that begins to listen."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return RawClient.connect(("127.0.0.1", port))
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, f"nobody listens on port {port}"
            time.sleep(RETRY_S)


def reset(client: RawClient) -> None:
    """End a TCP connection by a reset."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def play(step: Step, strike: Strike) -> Outcome:
    """Bring a command to a step, let the fault strike, and see what becomes of it."""
    scenario = step.scenario
    port = free_port() if strike is Strike.RESET else None
    options = [*scenario.options, *(["--listen", f"tcp:127.0.0.1:{port}"] if port is not None else [])]
    recovers = scenario is Scenario.RECOVERY
    with staged(scenario.firmware, options, starts_proxy=not recovers) as stage:
        if recovers:
            leave_a_job(stage)
            gate = stage.gate(step.condition())
            stage.start_proxy()
        client = stage.client() if port is None else stage.stack.enter_context(negotiated(connect_tcp(port)))
        other = stage.client()
        if not recovers:
            gate = stage.gate(step.condition(), freezes=step.freezes)
        client.send(hmp_bytes(scenario.line))
        gate.wait()
        outcome = Outcome(step, before=look_at(template(scenario.firmware), *IMAGES))
        _Play(stage, step, gate, client, other, outcome).run(strike)
        outcome.disks = stage.end()
        outcome.arrived = stage.relay.arrived
        outcome.stderr = stage.proxy.stderr
        outcome.records = stage.proxy.records
        return outcome


def leave_a_job(stage: Stage) -> None:
    """Kill a proxy when its job has ended, and is not dismissed."""
    proxy = stage.start_proxy()
    gate = stage.gate(lambda message: message.kind is Kind.COMMAND and message.name == "job-dismiss")
    with proxy.negotiated() as client:
        client.send(hmp_bytes("savevm left"))
        gate.wait()
        wait_until(lambda: bool(stage.relay.replies("query-jobs")), "the job's end")
        proxy.kill()
        gate.open()


@dataclass(slots=True)
class _Play:
    """One cell, from the moment at which the conversation stands still."""

    stage: Stage
    step: Step
    gate: Gate
    client: RawClient
    other: RawClient
    outcome: Outcome

    def run(self, strike: Strike) -> None:
        match strike:
            case Strike.CLOSE | Strike.RESET:
                self._leave(strike)
            case Strike.HALF_CLOSE:
                self.client.half_close()
                self._go_on()
                self.outcome.answer = reply_of(self.client)
                assert self.client.expect_eof() == b""
            case Strike.UNREAD:
                self._go_on()
                self.other.returned("query-status")
                self.outcome.answer = reply_of(self.client)
            case Strike.SIGTERM_PROXY:
                self._terminate_proxy()
            case Strike.SIGKILL_PROXY:
                self._kill_proxy()
            case Strike.SIGTERM_QEMU | Strike.SIGKILL_QEMU:
                self._end_qemu(signal.SIGTERM if strike is Strike.SIGTERM_QEMU else signal.SIGKILL)
            case Strike.FREEZE:
                self.stage.freeze()
                self.stage.see_loop()
                self._go_on()
                self.outcome.answer = reply_of(self.client)
            case _:
                self._let_another_send(strike)

    def _go_on(self) -> None:
        """See that the proxy has noticed the fault, and let the conversation go on."""
        self.stage.see_loop()
        self.stage.thaw()
        self.gate.open()

    def _leave(self, strike: Strike) -> None:
        (reset if strike is Strike.RESET else RawClient.close)(self.client)
        self._go_on()
        wait_until(lambda: bool(final_records(self.stage.proxy.records, self.step.scenario.line)), "the record")

    def _let_another_send(self, strike: Strike) -> None:
        self.other.send(SENT_BY_ANOTHER[strike])
        self._go_on()
        self.outcome.answer = reply_of(self.client)
        self.outcome.other_answer = reply_of(self.other)
        if strike is Strike.QUIT:
            assert self.stage.vm.wait_gone() == 0

    def _terminate_proxy(self) -> None:
        process = self.stage.proxy.process
        assert process is not None
        process.terminate()
        self.stage.thaw()
        self.gate.open()
        self.outcome.answer = reply_of(self.client)
        assert self.client.expect_eof() == b""
        assert self.stage.proxy.wait_gone() == 0

    def _kill_proxy(self) -> None:
        self.stage.proxy.kill()
        self.stage.thaw()
        self.gate.open()
        self.outcome.answer = reply_of(self.client)
        self._start_again()

    def _end_qemu(self, number: signal.Signals) -> None:
        self.stage.signal(number)
        self.stage.thaw()
        self.stage.vm.wait_gone()
        self.gate.open()
        self.outcome.answer = reply_of(self.client)
        self.stage.stop_proxy()
        self.outcome.left = look_at(self.stage.folder, *IMAGES)
        if self.step.phase in (Phase.SAFELY, Phase.IN_STEPS):
            self.stage.vm.start()
            self._start_again()

    def _start_again(self) -> None:
        """Start the next proxy, and see it clear up and tell."""
        outcome, stage = self.outcome, self.stage
        known = len(stage.proxy.records)
        with stage.vm.negotiated(observer=True) as observer:
            found = _tags(images_of(observer))
            outcome.needs_telling = "t" not in found or any(map(is_internal, found))
            stage.start_proxy()
            outcome.is_tidy = comes_true(lambda: not stage.own_jobs(observer) and _is_tidy(images_of(observer)))
            outcome.is_told = outcome.needs_telling and comes_true(lambda: tells_of_t(stage.proxy.records[known:]))


def tells_of_t(records: Sequence[dict[str, Any]]) -> bool:
    """Tell whether a proxy has put on record what it found of the tag `t`."""
    return any("'t'" in record["reason"] for record in records if record["action"] == "recovered")


def _is_tidy(images: Images) -> bool:
    """Tell whether no internal tag is there that is not the only copy of what it stands for."""
    tags = _tags(images)
    return "t" not in tags or not any(map(is_internal, tags))


def _tags(images: Images) -> set[str]:
    return {tag for kept in images.values() for tag, _ in kept}

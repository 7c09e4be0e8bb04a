"""A router between pure clients and a modelled QEMU, without sockets: bytes are carried by hand, in the order a test wants."""

import itertools
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from proxy.qmp_json.messages import format_of
from proxy.routing.dispatcher import Dispatcher
from proxy.routing.outbox import Note, Segment
from proxy.routing.router import Router
from proxy.routing.turns import Turns
from proxy.routing.vm_history import History
from proxy.sessions.limits import SessionLimits
from proxy.sessions.monitor import Clock, Monitor
from proxy.sessions.session import Session
from shim.client import Client
from shim.graph.policy import Policy
from shim.plans.jobs import JOB_PREFIX
from shim.plans.plan import Intend, Settle
from shim.plans.recovery import Written
from shim.qmp import QEMUVersion
from shim.records.audit import AuditRecord
from shim.rules.permissions import EVERYTHING, Permissions
from tests.fakes.block import BlockGraph, Node, two_disks
from tests.fakes.commands import command_names
from tests.fakes.faults import When
from tests.fakes.jobs import Job, VMFaults
from tests.fakes.monitor import Monitor as ModelMonitor
from tests.fakes.monitor import is_oob
from tests.fakes.vm import DEBIAN_12, VM
from tests.fakes.wire import Framer, spell

__all__ = [
    "CAPABILITIES",
    "EVENT",
    "GETFD",
    "NAME",
    "NOW",
    "Desk",
    "ManualClock",
    "ModelQEMU",
    "a_monitor",
    "a_session",
    "failure",
    "greeting",
    "hmp",
    "job_event",
    "line",
    "names",
    "reply",
    "run_state",
]

CAPABILITIES: Final = b'{"execute":"qmp_capabilities"}\n'
NAME: Final = b'{"execute":"query-name"}\n'
GETFD: Final = b'{"execute":"getfd","arguments":{"fdname":"x"}}'
NOW: Final = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)
EVENT: Final = b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "POWERDOWN"}\r\n'
_NS_PER_LOOK: Final = 1_000_000


def greeting(*, capabilities: Iterable[str] = ("oob",), pretty: bool = False) -> bytes:
    version = {"qemu": DEBIAN_12._asdict(), "package": "model"}
    return spell({"QMP": {"version": version, "capabilities": list(capabilities)}}, pretty=pretty)


class ManualClock:
    """A clock that goes on by 1 ms each time it is looked at."""

    def __init__(self) -> None:
        self._now_ns = 0

    def monotonic_ns(self) -> int:
        self._now_ns += _NS_PER_LOOK
        return self._now_ns

    def pass_ns(self, duration_ns: int) -> None:
        self._now_ns += duration_ns

    def clock(self) -> Clock:
        return Clock(
            monotonic_ns=self.monotonic_ns,
            utc=lambda: NOW,
            local=lambda: NOW.replace(tzinfo=None),
            local_time=lambda seconds: datetime.fromtimestamp(seconds, UTC),
        )


def a_monitor(
    raw_greeting: bytes | None = None, *, version: QEMUVersion = DEBIAN_12, commands: Iterable[str] | None = None
) -> Monitor:
    known = command_names(VM(BlockGraph(()))) if commands is None else commands
    raw = raw_greeting or greeting()
    return Monitor(raw, b'"oob"' in raw, version, frozenset(known), "vm1")


def a_session(*, offers_oob: bool = True, negotiated: bool = False, oob: bool = False, pretty: bool = False) -> Session:
    """Return a session whose greeting has been taken."""
    raw = greeting(pretty=pretty, capabilities=["oob"] if offers_oob else [])
    session = Session(Client(1, 2, "/bin/tool"), a_monitor(raw), format_of(raw))
    session.data_to_send()
    if negotiated or oob:
        session.inbox.receive_data(b'{"execute":"qmp_capabilities","arguments":{"enable":%s}}' % (b'["oob"]' if oob else b"[]"))
        session.next_request()
    return session


class ModelQEMU:
    """The modelled machine with its monitor (tests/fakes/vm.py), as a function from bytes to bytes.

    It is negotiated, with OOB where it is offered. `steps` gives the output in pieces that end where QEMU can be lost.
    """

    def __init__(
        self,
        nodes: Iterable[Node] | None = None,
        *,
        capabilities: Iterable[str] = ("oob",),
        pretty: bool = False,
        jobs: Iterable[Job] = (),
        faults: VMFaults | None = None,
        run_state: str = "running",
    ) -> None:
        self.greeting = greeting(capabilities=capabilities, pretty=pretty)
        self.received: list[dict[str, Any]] = []
        self._pretty = pretty
        self._output = bytearray()
        graph = BlockGraph(two_disks() if nodes is None else nodes)
        self.vm = VM(graph, emit=self.emit, jobs=jobs, faults=faults, run_state=run_state)
        self._monitor = ModelMonitor(self.vm, capabilities=list(capabilities), pretty=pretty)
        self._monitor.reply({"execute": "qmp_capabilities", "arguments": {"enable": list(capabilities)}})
        self._framer = Framer()

    def emit(self, name: str, data: Mapping[str, Any] | None = None) -> None:
        event: dict[str, Any] = {"timestamp": {"seconds": 1, "microseconds": 2}, "event": name}
        self._output += spell(event if data is None else event | {"data": dict(data)}, pretty=self._pretty)

    def receive(self, data: bytes) -> bytes:
        """Run the commands and give all that QEMU writes."""
        return b"".join(output for _, _, output in self.steps(data))

    def steps(self, data: bytes) -> Iterator[tuple[str, When, bytes]]:
        """Run the commands one by one; give each moment, and what QEMU writes up to it. Out-of-band commands go first."""
        commands = [value for _, value in self._framer.feed(data)]
        for command in sorted(commands, key=lambda value: not is_oob(value)):
            self.received.append(command)
            name = str(command.get("execute")) if isinstance(command, dict) else ""
            yield name, When.RECEIVED, self.take_output()
            reply = self._monitor.reply(command)
            yield name, When.DONE, self.take_output()
            self._output += reply
            self.vm.jobs.settle()
            yield name, When.REPLIED, self.take_output()

    def take_output(self) -> bytes:
        output, self._output = bytes(self._output), bytearray()
        return output


@dataclass(slots=True)
class Desk:
    """A router with its sessions. What it hands out collects in `records`, `to_qemu`, `said` (by session) and `closed`.

    `order` tells the order in which the driver was asked to act.
    """

    qemu: ModelQEMU = field(default_factory=lambda: ModelQEMU())
    policy: Policy = field(default_factory=Policy)
    permissions: Permissions = EVERYTHING
    limits: SessionLimits = field(default_factory=SessionLimits)
    version: QEMUVersion = DEBIAN_12
    router: Router = field(init=False)
    dispatcher: Dispatcher = field(init=False)
    records: list[AuditRecord] = field(default_factory=list)
    to_qemu: list[Segment] = field(default_factory=list)
    said: dict[Session, bytearray] = field(default_factory=dict)
    closed: list[int] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    # Puts on record what is about to be run; it may say why it cannot.
    announce: Callable[[AuditRecord], str | None] | None = None
    # What was written down for the next start, in order.
    notes: list[Intend | Settle] = field(default_factory=list)
    # What is to be written: at once, unless `holds_notes`.
    unwritten: deque[Note] = field(default_factory=deque)
    holds_notes: bool = False
    notices: list[str | Exception] = field(default_factory=list)
    clock: ManualClock = field(default_factory=lambda: ManualClock())
    turns: Turns = field(default_factory=Turns)
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        numbers = itertools.count(1)
        monitor = a_monitor(self.qemu.greeting, version=self.version)
        new_id = (f"{JOB_PREFIX}{number}" for number in numbers).__next__
        self.dispatcher = Dispatcher(
            monitor,
            self.policy,
            self.clock.clock(),
            new_id=new_id,
            own_prefix=JOB_PREFIX,
            announces=self.announce is not None,
            turns=self.turns,
            limits=self.limits,
            permissions=self.permissions,
            history=self.history,
        )
        self.router = Router(self.dispatcher, format_of(self.qemu.greeting))

    # -- what happens ------------------------------------------------------------------------------------------------

    def start(self, written: Sequence[Written] = ()) -> None:
        self.dispatcher.start(written)
        self.take()

    def client(self, *, negotiated: bool = True, oob: bool = False, number: int = 1) -> Session:
        """Let a client in; what it was told up to then is dropped from `said`."""
        session = self.dispatcher.add_session(Client(number, 0, f"/bin/tool{number}"))
        self.said[session] = bytearray()
        self.take()
        if negotiated:
            enable = b'["oob"]' if oob else b"[]"
            self.send(session, b'{"execute":"qmp_capabilities","arguments":{"enable":%s}}\n' % enable)
        self.said[session].clear()
        return session

    def send(self, session: Session, data: bytes, descriptors: tuple[int, ...] = ()) -> None:
        if self.dispatcher.receive_from_client(session, data, descriptors):
            self.to_qemu.append(Segment(data))
        self.take()

    def receive(self, data: bytes) -> None:
        """Let QEMU say something."""
        session = self.router.receive_from_qemu(data)
        if session is not None:
            self._take_records()
            self.order.append("answer")
            self.said[session] += data
        self.take()

    def lose(self) -> None:
        self.dispatcher.receive_qemu_eof()
        self.take()

    def take(self) -> None:
        """Do what a driver does after each call, to the end of what clients have sent."""
        self._empty_outbox()
        while self.dispatcher.unfinished or (self.unwritten and not self.holds_notes):
            if self.unwritten and not self.holds_notes:
                self.write_note()
            else:
                self.dispatcher.work_off(next(iter(self.dispatcher.unfinished)))
            self._empty_outbox()

    def write_note(self) -> None:
        """Write the oldest note."""
        note, why_not = self.unwritten.popleft(), None
        if isinstance(note.what, AuditRecord):
            assert self.announce is not None
            why_not = self.announce(note.what)
        else:
            self.notes.append(note.what)
        self.dispatcher.noted(note.work, why_not)

    def _empty_outbox(self) -> None:
        self.notices += self.dispatcher.outbox.notices_to_log()
        self._take_records()
        self.unwritten += self.dispatcher.outbox.notes_to_write()
        self.notes += self.dispatcher.outbox.intents_to_forget()
        self.to_qemu += self.dispatcher.outbox.segments_to_qemu()
        for session in self.dispatcher.outbox.sessions_to_flush():
            data = session.data_to_send()
            if data:
                self.order.append("answer")
            self.said[session] += data
        self.closed += self.dispatcher.outbox.descriptors_to_close()

    def _take_records(self) -> None:
        records, _ = self.dispatcher.outbox.records_to_write()
        self.order += ["record"] * len(records)
        self.records += records

    def written(self) -> bytes:
        """Take what was written to QEMU."""
        data = b"".join(segment.data for segment in self.to_qemu)
        self.to_qemu.clear()
        return data

    def run(self, *, piece_bytes: int | None = None) -> None:
        """Let QEMU and the router talk until nothing is under way."""
        while data := self.written():
            output = self.qemu.receive(data)
            size = piece_bytes or len(output) or 1
            for start in range(0, len(output), size):
                self.receive(output[start : start + size])

    # -- what was said -----------------------------------------------------------------------------------------------

    def heard(self, session: Session) -> list[Any]:
        """Take what the client got, decoded."""
        values: list[Any] = []
        text, self.said[session] = self.said[session].decode(), bytearray()
        decoder, position = json.JSONDecoder(), 0
        while position < len(text):
            value, position = decoder.raw_decode(text, position)
            values.append(value)
            position += len(text[position:]) - len(text[position:].lstrip())
        return values


def hmp(line: str, id: object = None, **arguments: object) -> bytes:
    """Spell a human-monitor-command; without an id if it is None."""
    command: dict[str, object] = {"execute": "human-monitor-command", "arguments": {"command-line": line, **arguments}}
    return json.dumps(command if id is None else command | {"id": id}).encode() + b"\n"


def names(values: Iterable[dict[str, Any]]) -> list[str]:
    """Name what was said: an event by its name, a reply by "return" or "error"."""
    return [value.get("event") or ("return" if "return" in value else "error") for value in values]


# --- QEMU's lines by hand -----------------------------------------------------------------------------------------------


def line(value: dict[str, Any]) -> bytes:
    return spell(value)


def reply(own: object) -> bytes:
    return json.dumps({"return": {}, "id": own}).encode() + b"\r\n"


def failure(desc: str = "no") -> bytes:
    return b'{"error": {"class": "GenericError", "desc": "%s"}}\r\n' % desc.encode()


def job_event(job_id: str, status: str = "running") -> bytes:
    return line({"timestamp": {}, "event": "JOB_STATUS_CHANGE", "data": {"status": status, "id": job_id}})


def run_state(name: str) -> bytes:
    return line({"timestamp": {"seconds": 1, "microseconds": 2}, "event": name})

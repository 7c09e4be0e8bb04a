"""The state of each VM of a process: values, and the JSON that programs read. table.py has the form for people."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from host.settings.admission import Refusal
from proxy.routing.vm_history import DeprecatedUse, Failure, Outcome
from shim.qmp import JSON
from shim.version import VERSION

__all__ = [
    "ClientStatus",
    "PatternStatus",
    "PauseStatus",
    "RunningCommand",
    "State",
    "Totals",
    "VMStatus",
    "Waits",
    "as_members",
    "process_members",
    "read_patterns",
    "read_status",
]


class State(StrEnum):
    """SERVED: QEMU is there, and clients can come. WAITED_FOR: QEMU is not there, or something is in the way. ENDING: in
    order. HANDED_OVER: another process, which takes over, serves the VM; its status is that of the hand-over."""

    SERVED = "served"
    WAITED_FOR = "waited for"
    ENDING = "ending"
    HANDED_OVER = "handed over"


class Waits(StrEnum):
    """What a client waits for, as it is shown. QEMU: for a reply, or for its turn."""

    OWN_COMMAND = "its own snapshot command"
    OTHERS_COMMAND = "another's snapshot command"
    QEMU = "QEMU"
    PAUSE = "the end of the pause"


@dataclass(frozen=True, slots=True)
class ClientStatus:
    """One client. number: identifies it for `disconnect`. who: as the log names it. connected_s: for how long. waits_for: None
    if idle.

    pid, uid, program: from the kernel, on a unix socket; None on a TCP socket, whose clients have an address. started: when
    that process began, in clock ticks since boot (proc_pid_stat(5)), to tell it from a later one with the same pid.
    """

    number: int
    who: str
    pid: int | None
    uid: int | None
    program: str | None
    address: str | None
    listener: str | None
    connected_s: float
    waits_for: Waits | None
    started: int | None = None


@dataclass(frozen=True, slots=True)
class RunningCommand:
    """The snapshot command that all clients of the VM wait for. command: the HMP line, or the name of a QMP command."""

    command: str
    who: str
    for_s: float


@dataclass(frozen=True, slots=True)
class PatternStatus:
    """How many sockets a `discover` pattern fits, which of them cannot be served, and why."""

    pattern: str
    sockets: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PauseStatus:
    """A pause of snapshot commands. for_s: since when. left_s: until it ends by itself; None if only an operator ends it."""

    for_s: float
    left_s: float | None


@dataclass(frozen=True, slots=True)
class Totals:
    """Current values, and sums since the VM has been served.

    Attributes:
        clients: that are connected.
        waiting: those of them whose command has not begun, because of another's command or a pause.
        clients_ever: that have connected.
        cut: that were disconnected, by a limit or by the operator.
        refused: that were turned away before they were let in, by reason; the reasons are those of `Refusal`.
        commands: that clients sent and that were passed to QEMU; not those that were rewritten.
        from_clients_bytes: read from clients.
        from_qemu_bytes: read from QEMU.
        queued_for_clients_bytes: that clients have not read yet.
        queued_from_clients_bytes: that clients have sent and that wait in the proxy.
        queued_for_qemu_bytes: that QEMU has not read yet.
        reconnects: to QEMU, not counting the first connection.
        records_lost: that the VM's audit log could not write, for any of its VMs.
        records_queued: that wait to be written to it.
    """

    clients: int = 0
    waiting: int = 0
    clients_ever: int = 0
    cut: int = 0
    refused: Mapping[str, int] = field(default_factory=lambda: {refusal.value: 0 for refusal in Refusal})
    commands: int = 0
    from_clients_bytes: int = 0
    from_qemu_bytes: int = 0
    queued_for_clients_bytes: int = 0
    queued_from_clients_bytes: int = 0
    queued_for_qemu_bytes: int = 0
    reconnects: int = 0
    records_lost: int = 0
    records_queued: int = 0


@dataclass(frozen=True, slots=True)
class VMStatus:
    """One VM.

    Attributes:
        name: as the log names it.
        upstream: the address of its QEMU.
        state: whether it is served.
        problem: why it is not; None if it is, unless a change of its settings has failed.
        qemu: the version of the QEMU that is connected.
        policy: the kind of the policy in force.
        mode: what happens to HMP commands.
        audit: where its records go; None if it has no log.
        audit_trouble: how many of that log's records are lost that no record reports yet, and why; None if there are none.
        clients: those that are connected, in the order in which they came.
        running: None if no snapshot command runs.
        silent_s: for how long QEMU has owed a reply and sent nothing; None if that is not so, or not for 10 s.
        unmatched: a text for each pattern of the policy that fitted no node at the last check.
        pause: None if there is none.
        listen: the addresses of its listeners that are open to clients without a certificate, served or not.
        totals: counts of clients, commands, bytes and records.
        outcomes: how HMP and snapshot commands ended, and how often.
        deprecated: who uses which HMP command, and how often.
        failures: the last snapshot commands that failed, oldest first.
    """

    name: str
    upstream: str
    state: State
    problem: str | None = None
    qemu: str | None = None
    policy: str = ""
    mode: str = ""
    audit: str | None = None
    clients: tuple[ClientStatus, ...] = ()
    running: RunningCommand | None = None
    silent_s: float | None = None
    unmatched: tuple[str, ...] = ()
    pause: PauseStatus | None = None
    listen: tuple[str, ...] = ()
    totals: Totals = field(default_factory=Totals)
    outcomes: tuple[tuple[Outcome, int], ...] = ()
    deprecated: tuple[tuple[DeprecatedUse, int], ...] = ()
    failures: tuple[Failure, ...] = ()
    audit_trouble: str | None = None

    @property
    def has_qemu(self) -> bool:
        """Whether its QEMU is there and clients can come, or was there when the VM was handed over."""
        return self.state is State.SERVED or (self.state is State.HANDED_OVER and self.qemu is not None)

    def count(self, *endings: str) -> int:
        """Return how many snapshot commands ended in one of these ways; see proxy/routing/vm_history.py."""
        return sum(count for outcome, count in self.outcomes if outcome.is_about_snapshots and outcome.ended in endings)


def as_members(vm: VMStatus) -> dict[str, JSON]:
    """Return a VM's status as JSON. dataclasses.asdict takes four times as long, and there may be a thousand VMs."""
    return _members(vm) | {
        "clients": [_members(client) for client in vm.clients],
        "running": None if vm.running is None else _members(vm.running),
        "pause": None if vm.pause is None else _members(vm.pause),
        "totals": _members(vm.totals),
        "outcomes": [outcome._asdict() | {"count": count} for outcome, count in vm.outcomes],
        "deprecated": [use._asdict() | {"count": count} for use, count in vm.deprecated],
        "failures": [_members(failure) for failure in vm.failures],
    }


def process_members(
    vms: Iterable[VMStatus], patterns: Iterable[PatternStatus], pid: int, replaced_by: JSON = None
) -> dict[str, JSON]:
    """Return the status of a process as JSON: of itself, its `discover` patterns and its VMs.

    replaced_by: the process that takes over; see replacement.py.
    """
    about: dict[str, JSON] = {"version": VERSION, "pid": pid, "replaced_by": replaced_by}
    return about | {"discover": [asdict(pattern) for pattern in patterns], "vms": [as_members(vm) for vm in vms]}


def read_patterns(told: JSON) -> list[PatternStatus]:
    """Parse the `discover` patterns in a status. Raises ValueError for anything else."""
    try:
        return [PatternStatus(one["pattern"], one["sockets"], tuple(one["problems"])) for one in told.get("discover", [])]
    except (AttributeError, KeyError, TypeError) as exc:
        raise ValueError("this is not the status of hmp-proxy") from exc


def _members(value: Any) -> dict[str, JSON]:
    """Return the members of a dataclass with slots."""
    return {name: getattr(value, name) for name in value.__slots__}


def read_status(told: JSON) -> list[VMStatus]:
    """Parse what `as_members` has made of VMs. Raises ValueError for anything else."""
    try:
        return [_vm_of(**vm) for vm in told["vms"]]
    except (KeyError, TypeError) as exc:
        raise ValueError("this is not the status of hmp-proxy") from exc


def _vm_of(
    *,
    state: str,
    clients: Iterable[JSON],
    running: JSON,
    pause: JSON,
    totals: JSON,
    unmatched: JSON = (),
    listen: JSON = (),
    **members: JSON,
) -> VMStatus:
    outcomes, deprecated, failures = (members.pop(name) for name in ("outcomes", "deprecated", "failures"))
    return VMStatus(
        unmatched=tuple(unmatched),
        listen=tuple(listen),
        state=State(state),
        clients=tuple(_client_of(**client) for client in clients),
        running=None if running is None else RunningCommand(**running),
        pause=None if pause is None else PauseStatus(**pause),
        totals=Totals(**totals),
        outcomes=tuple((Outcome(one["command"], one["action"], one["ended"]), one["count"]) for one in outcomes),
        deprecated=tuple((DeprecatedUse(one["tool"], one["command"], one["replacement"]), one["count"]) for one in deprecated),
        failures=tuple(Failure(**failure) for failure in failures),
        **members,
    )


def _client_of(*, waits_for: str | None, **members: JSON) -> ClientStatus:
    return ClientStatus(waits_for=None if waits_for is None else Waits(waits_for), **members)

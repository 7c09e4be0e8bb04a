"""How each VM of a process is: values, and their form for programs and for people."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from shim.printable import aligned, printable
from shim.qmp import JSON

__all__ = [
    *("ClientStatus", "PatternStatus", "RunningCommand", "State", "VMStatus"),
    *("as_json", "as_table", "read_patterns", "read_status"),
]


class State(StrEnum):
    """SERVED: QEMU is there, and clients can come. WAITED_FOR: QEMU is not, or something is in the way. ENDING: in order."""

    SERVED = "served"
    WAITED_FOR = "waited for"
    ENDING = "ending"


@dataclass(frozen=True, slots=True)
class ClientStatus:
    """who: as the log names it. connected_s: for how long. waits: a command of it has not been answered."""

    who: str
    listener: str | None
    connected_s: float
    waits: bool


@dataclass(frozen=True, slots=True)
class RunningCommand:
    """The snapshot command for which all clients of the VM wait. command: the HMP line, or the name of a QMP command."""

    command: str
    who: str
    for_s: float


@dataclass(frozen=True, slots=True)
class PatternStatus:
    """How many sockets a `discover` pattern fits, and which of them cannot be served, and why."""

    pattern: str
    sockets: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VMStatus:
    """One VM.

    Attributes:
        name: as the log names it.
        upstream: the address of its QEMU.
        state: whether it is served.
        problem: why it is not; None if it is, unless a change of its settings has failed.
        qemu: the version that is connected.
        policy: the kind of the policy in force.
        mode: what becomes of HMP commands.
        clients: those that are connected, in the order in which they came.
        running: None if no snapshot command runs.
        unmatched: a text for each pattern of the policy that fits no node, when the nodes were last looked at.
    """

    name: str
    upstream: str
    state: State
    problem: str | None = None
    qemu: str | None = None
    policy: str = ""
    mode: str = ""
    clients: tuple[ClientStatus, ...] = ()
    running: RunningCommand | None = None
    unmatched: tuple[str, ...] = ()


def as_json(vms: Sequence[VMStatus], patterns: Sequence[PatternStatus] = ()) -> dict[str, JSON]:
    """Return the members of what a program is told. patterns: by which VMs are found."""
    return {"vms": [asdict(vm) for vm in vms], "discover": [asdict(pattern) for pattern in patterns]}


def read_patterns(told: JSON) -> list[PatternStatus]:
    """Read the patterns of what `as_json` has made. Raises ValueError for anything else."""
    try:
        return [PatternStatus(one["pattern"], one["sockets"], tuple(one["problems"])) for one in told.get("discover", [])]
    except (AttributeError, KeyError, TypeError) as exc:
        raise ValueError("this is not the status of hmp-proxy") from exc


def read_status(told: JSON) -> list[VMStatus]:
    """Read what `as_json` has made. Raises ValueError for anything else."""
    try:
        return [_vm_of(**vm) for vm in told["vms"]]
    except (KeyError, TypeError) as exc:
        raise ValueError("this is not the status of hmp-proxy") from exc


def _vm_of(*, state: str, clients: JSON, running: JSON, unmatched: JSON = (), **members: JSON) -> VMStatus:
    return VMStatus(
        unmatched=tuple(unmatched),
        state=State(state),
        clients=tuple(ClientStatus(**client) for client in clients),
        running=None if running is None else RunningCommand(**running),
        **members,
    )


def as_table(vms: Sequence[VMStatus], name: str | None = None, patterns: Sequence[PatternStatus] = ()) -> str:
    """Return a table of VMs for a person, or of one VM with its clients. Raises KeyError if there is none of that name."""
    if name is None:
        return "\n".join([*aligned([_HEADER, *map(_row, vms)]), *_problems(vms), *_of_patterns(patterns)])
    vm = next((vm for vm in vms if vm.name == name), None)
    if vm is None:
        raise KeyError(name)
    clients = [("CLIENT", "SINCE", "AT", ""), *(_client_row(client) for client in vm.clients)]
    return "\n".join([*aligned([_HEADER, _row(vm)]), *_problems([vm]), "", *aligned(clients)])


_HEADER = ("VM", "STATE", "QEMU", "POLICY", "MODE", "CLIENTS", "RUNNING")


def _row(vm: VMStatus) -> tuple[str, ...]:
    running = "" if vm.running is None else f"{vm.running.command} ({_span(vm.running.for_s)}, {vm.running.who})"
    return (vm.name, vm.state, vm.qemu or "", vm.policy, vm.mode, str(len(vm.clients)), running)


def _client_row(client: ClientStatus) -> tuple[str, ...]:
    return (client.who, _span(client.connected_s), client.listener or "", "waits" if client.waits else "")


def _problems(vms: Sequence[VMStatus]) -> list[str]:
    told = [f"{printable(vm.name)}: {printable(vm.problem)}" for vm in vms if vm.problem is not None]
    told += [f"{printable(vm.name)}: {printable(text)}" for vm in vms for text in vm.unmatched]
    return ["", *told] if told else []


def _of_patterns(patterns: Sequence[PatternStatus]) -> list[str]:
    told = [f"discover {printable(one.pattern)}: it fits no socket" for one in patterns if not one.sockets]
    told += [f"discover {printable(one.pattern)}: {printable(text)}" for one in patterns for text in one.problems]
    return ["", *told] if told else []


def _span(seconds: float) -> str:
    """Return a duration in its two greatest units."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours < 24 else f"{hours // 24}d{hours % 24:02}h"

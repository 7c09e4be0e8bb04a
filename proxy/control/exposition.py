"""The numbers of the VMs in Prometheus' text format, version 0.0.4. No I/O.

It comes in pieces, each made in well under a millisecond, because all VMs of a host together may take many. All samples of a
metric have to stand together, so the VMs are visited once for each metric.

No text that a client chooses becomes a label: proxy/routing/vm_history.py sees to that, and limits the number of labels.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from proxy.control.status import Totals, VMStatus
from proxy.routing.vm_history import DURATION_BOUNDS_S, Histogram, History
from shim.printable import printable
from shim.records.audit import Action
from shim.version import VERSION

__all__ = ["CONTENT_TYPE", "METRICS", "Watched", "exposition"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_Labels: TypeAlias = Mapping[str, str]
_Sample: TypeAlias = tuple[_Labels, float]


class Watched(NamedTuple):
    """A VM's current status, and its history."""

    status: VMStatus
    history: History


class _Metric(NamedTuple):
    """A metric. samples: returns those of one VM, without its name."""

    name: str
    kind: str
    help: str
    samples: Callable[[Watched], Iterable[_Sample]]


class _Times(NamedTuple):
    """A histogram. times: returns those of one VM, by command."""

    name: str
    help: str
    times: Callable[[History], Mapping[str, Histogram]]


def _gauge(name: str, text: str, value: Callable[[VMStatus], float]) -> _Metric:
    return _Metric(f"hmp_proxy_{name}", "gauge", text, lambda vm: [({}, value(vm.status))])


def _counter(name: str, text: str, value: Callable[[VMStatus], float]) -> _Metric:
    return _Metric(f"hmp_proxy_{name}_total", "counter", text, lambda vm: [({}, value(vm.status))])


def _facts(vm: Watched) -> Iterator[_Sample]:
    status = vm.status
    yield {"qemu": status.qemu or "", "policy": status.policy, "mode": status.mode}, 1


def _received(vm: Watched) -> Iterator[_Sample]:
    yield {"from": "clients"}, vm.status.totals.from_clients_bytes
    yield {"from": "qemu"}, vm.status.totals.from_qemu_bytes


def _queued(vm: Watched) -> Iterator[_Sample]:
    totals = vm.status.totals
    yield {"queue": "for_clients"}, totals.queued_for_clients_bytes
    yield {"queue": "from_clients"}, totals.queued_from_clients_bytes
    yield {"queue": "for_qemu"}, totals.queued_for_qemu_bytes


def _refused(vm: Watched) -> Iterator[_Sample]:
    for reason, count in vm.status.totals.refused.items():
        yield {"reason": reason}, count


def _outcomes(vm: Watched) -> Iterator[_Sample]:
    for outcome, count in vm.status.outcomes:
        yield {"command": outcome.command, "action": outcome.action, "outcome": outcome.ended}, count


def _failures(status: VMStatus) -> int:
    return sum(
        count
        for outcome, count in status.outcomes
        if outcome.is_about_snapshots and outcome.action != Action.REFUSED and outcome.ended in ("failed", "unknown")
    )


def _uses(vm: Watched) -> Iterator[_Sample]:
    for use, count in vm.status.deprecated:
        yield use._asdict(), count


_OF_VMS: Final = (
    _gauge("vm_up", "Whether the VM is served: its QEMU is there.", lambda vm: vm.has_qemu),
    _Metric("hmp_proxy_vm_info", "gauge", "The VM's QEMU and the policy in force, as labels.", _facts),
    _gauge("vm_paused", "Whether the VM's snapshot commands are paused.", lambda vm: vm.pause is not None),
    _gauge(
        "command_running_seconds",
        "For how long the snapshot command has run that runs now; 0 if there is none.",
        lambda vm: 0 if vm.running is None else vm.running.for_s,
    ),
    _gauge(
        "qemu_silent_seconds",
        "For how long QEMU has owed a reply and sent nothing, from 10 s on; 0 if that is not so.",
        lambda vm: vm.silent_s or 0,
    ),
    _gauge("clients", "Clients that are connected.", lambda vm: vm.totals.clients),
    _gauge("clients_waiting", "Clients that wait for another's command, or for a pause.", lambda vm: vm.totals.waiting),
    _counter("clients_connected", "Clients that have connected.", lambda vm: vm.totals.clients_ever),
    _counter("clients_cut", "Clients that were disconnected, by a limit or by the operator.", lambda vm: vm.totals.cut),
    _Metric("hmp_proxy_clients_refused_total", "counter", "Clients that were turned away, by why.", _refused),
    _counter("forwarded_commands", "Commands of clients that QEMU was given as they came.", lambda vm: vm.totals.commands),
    _Metric("hmp_proxy_received_bytes_total", "counter", "Bytes that were read, by who sent them.", _received),
    _Metric("hmp_proxy_queued_bytes", "gauge", "Bytes that wait in the proxy.", _queued),
    _counter("qemu_reconnects", "How often the proxy has connected to QEMU again.", lambda vm: vm.totals.reconnects),
    _Metric("hmp_proxy_commands_total", "counter", "HMP and snapshot commands, by what became of them.", _outcomes),
    # The metric above has no sample before the first failure, and the first one increases nothing. This one begins at 0: it is
    # one series per VM, and zeros for all combinations of labels would be about fifty.
    _counter("snapshot_failures", "Snapshot commands that failed, or whose outcome is unknown, if not refused.", _failures),
    _Metric(
        "hmp_proxy_requested_deprecated_commands",
        "gauge",
        "HMP commands that a tool has used since the VM is served, with QMP's commands to use instead.",
        lambda vm: [(labels, 1) for labels, _ in _uses(vm)],
    ),
    _Metric("hmp_proxy_deprecated_requests_total", "counter", "How often a tool has used an HMP command.", _uses),
)
_TIMES: Final = (
    _Times(
        "hmp_proxy_command_duration_seconds",
        "How long snapshot commands took that were rewritten, or left to QEMU's own.",
        lambda history: history.durations,
    ),
    _Times("hmp_proxy_vm_stopped_seconds", "How long the VM stood still for one of them.", lambda history: history.stops),
)
_INFO: Final = ("hmp_proxy_info", "gauge", "The version of hmpshim, as a label.")
_LOST: Final = ("hmp_proxy_audit_records_lost_total", "counter", "Records that an audit log could not write.")
_QUEUED: Final = ("hmp_proxy_audit_records_queued", "gauge", "Records that wait to be written to an audit log.")
# The names of all metrics.
METRICS: Final = (_INFO[0], *(metric.name for metric in _OF_VMS), *(times.name for times in _TIMES), _LOST[0], _QUEUED[0])


def exposition(vms: Sequence[Watched]) -> Iterator[bytes]:
    """Yield the metrics of these VMs in pieces."""
    yield _head(*_INFO) + _line(_INFO[0], {"version": VERSION}, 1)
    for metric in _OF_VMS:
        yield _head(metric.name, metric.kind, metric.help)
        for vm in vms:
            samples = [(_of(vm) | dict(labels), value) for labels, value in metric.samples(vm)]
            yield b"".join(_line(metric.name, labels, value) for labels, value in samples)
    for times in _TIMES:
        yield _head(times.name, "histogram", times.help)
        for vm in vms:
            for command, histogram in times.times(vm.history).items():
                yield _histogram(times.name, _of(vm) | {"command": command}, histogram)
    yield from _of_logs(vms, _LOST, lambda totals: totals.records_lost)
    yield from _of_logs(vms, _QUEUED, lambda totals: totals.records_queued)


def _of_logs(vms: Sequence[Watched], metric: tuple[str, str, str], count: Callable[[Totals], int]) -> Iterator[bytes]:
    """Yield a metric of each log once; several VMs may write to one log."""
    counts: dict[str, float] = {}
    for vm in vms:
        if (log := vm.status.audit) is not None:  # of a VM that was handed over, it is the count of that moment
            counts[log] = max(count(vm.status.totals), counts.get(log, 0))
    yield _head(*metric) + b"".join(_line(metric[0], {"log": log}, value) for log, value in counts.items())


def _of(vm: Watched) -> dict[str, str]:
    return {"vm": vm.status.name}


def _head(name: str, kind: str, text: str) -> bytes:
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n".encode()


def _histogram(name: str, labels: dict[str, str], histogram: Histogram) -> bytes:
    lines, count = [], 0
    for bound, more in zip((*map(str, DURATION_BOUNDS_S), "+Inf"), histogram.counts, strict=True):
        count += more
        lines.append(_line(f"{name}_bucket", labels | {"le": bound}, count))
    return b"".join((*lines, _line(f"{name}_sum", labels, histogram.sum_s), _line(f"{name}_count", labels, count)))


def _line(name: str, labels: _Labels, value: float) -> bytes:
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{told}}} {float(value)!r}\n".encode()


def _escaped(text: str) -> str:
    """Escape a label's value. What cannot be shown, such as half of a surrogate pair in a file name, is spelled out first."""
    return printable(text).replace("\\", r"\\").replace('"', r"\"")

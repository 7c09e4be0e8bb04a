"""What is done through each relay in turn, round by round, and how the times are compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench.fleet import Fleet
from bench.programs import Programs
from bench.results import Measurement, median, ratios
from bench.targets import DIRECT, SOCAT, STREAMS, Target, start_relays, start_stub

__all__ = ["PING", "QEMU_WORKLOADS", "Workload", "measure", "start_stub_relays", "workloads"]

PING: Final = '{"execute": "query-status"}'
SCHEMA: Final = '{"execute": "query-qmp-schema"}'
MIB: Final = 1024 * 1024
# How a tool writes a command into which it copies a file: in the pieces that it reads.
PIECE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Workload:
    """One run of the load client for each relay and round; `name` is for the command line.

    samples: in each round; quick_samples in a quick run. number, last: the load client's arguments.
    slow: relays that get only a tenth of the samples. absent: relays that are left out.
    is_fresh: each round has new processes, whose first client this is. For later clients of a process, asyncio's own reads are
    faster by an accident of memory allocation, which favours a relay that uses them.
    limits: the goal for the ratio to each relay, None if it is only shown.
    """

    name: str
    title: str
    mode: str
    samples: int
    quick_samples: int
    number: int
    last: str
    limits: Mapping[str, float | None]
    quick_last: str | None = None
    rounds: int = 15
    slow: tuple[str, ...] = (STREAMS,)
    absent: tuple[str, ...] = ()
    is_fresh: bool = False

    def arguments(self, path: str, relay: str, *, is_quick: bool) -> list[str]:
        samples = self.quick_samples if is_quick else self.samples
        if relay in self.slow:
            samples = -(-samples // 10)
        last = self.quick_last if is_quick and self.quick_last else self.last
        return [self.mode, path, str(samples), str(self.number), last]


def workloads(*, is_pgo: bool) -> tuple[Workload, ...]:
    """Return the workloads for the stub. A ping is nearly all Python, and a CPython without PGO is slower."""
    ping = 1.25 if is_pgo else 1.45
    return (
        Workload("ping", "ping", "requests", 1000, 200, 1, PING, {SOCAT: ping, STREAMS: 0.35, DIRECT: None}, is_fresh=True),
        Workload("reply", "200 KB reply", "requests", 200, 30, 1, SCHEMA, {SOCAT: 0.65, STREAMS: 0.02}),
        Workload("pipelined", "100 pipelined commands", "requests", 200, 40, 100, PING, {SOCAT: 1.4}),
        Workload("clients", "8 clients at once", "clients", 200, 40, 8, PING, {SOCAT: 0.85}),
        Workload("flood", "event flood, 1 client", "flood", 1, 1, 1, "100000", {SOCAT: 1.5}, "5000", 7, ()),
        Workload(
            "flood-10", "event flood, 10 clients", "flood", 1, 1, 10, "100000", {SOCAT: 0.35}, "2000", 3, absent=(STREAMS,)
        ),
        Workload("command-1m", "1 MiB command", "pieces", 20, 5, MIB, str(PIECE_BYTES), {SOCAT: 3.0}, rounds=9),
        Workload("command-4m", "4 MiB command", "pieces", 10, 2, 4 * MIB, str(PIECE_BYTES), {SOCAT: 3.0}, rounds=9),
    )


QEMU_WORKLOADS: Final = (
    Workload("qemu-ping", "real QEMU: ping", "requests", 300, 50, 1, PING, {DIRECT: 1.25, SOCAT: 1.1}, slow=()),
    Workload("qemu-pipelined", "real QEMU: 100 pipelined", "requests", 15, 3, 100, PING, {DIRECT: None, SOCAT: None}, slow=()),
)


def start_stub_relays(fleet: Fleet, programs: Programs, label: str) -> dict[str, Target]:
    """Start all relays, each in front of a stub of its own, so that a flood for one does not reach the others."""
    return start_relays(fleet, label, lambda name: start_stub(fleet, programs, f"{label}.{name}"))


def measure(
    fleet: Fleet, programs: Programs, targets: Mapping[str, Target], workload: Workload, *, is_quick: bool
) -> Measurement:
    """Run the workload through each relay once per round, beginning with another one each time."""
    rounds = []
    for number in range(3 if is_quick else workload.rounds):
        with fleet.scope():
            fresh = start_stub_relays(fleet, programs, f"fresh{number}") if workload.is_fresh else targets
            rounds.append(_round(fleet, programs, fresh, workload, number, is_quick=is_quick))
    p50_ns = {name: [one[name] for one in rounds] for name in targets if name not in workload.absent}
    return Measurement(workload.title, p50_ns, ratios(p50_ns, workload.limits))


def _round(
    fleet: Fleet, programs: Programs, targets: Mapping[str, Target], workload: Workload, number: int, *, is_quick: bool
) -> dict[str, float]:
    names = [name for name in targets if name not in workload.absent]
    begin = number % len(names)
    p50_ns = {}
    for name in names[begin:] + names[:begin]:
        arguments = workload.arguments(targets[name].path, name, is_quick=is_quick)
        samples = fleet.output([*programs.load, *arguments]).split()
        p50_ns[name] = median([int(sample) for sample in samples])
    return p50_ns

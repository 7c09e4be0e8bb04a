"""What the survey costs: snapshot commands on VMs with many disks and many snapshots, natively and through the proxy.

A rewritten command has to query all nodes and their snapshots once. So the time that it adds is given as a multiple of that
query's own time plus 2 ms for everything that does not grow with the VM.

A third way shows how much of it is QEMU's own: the same commands without a proxy, sent by a client that knows everything. With
many snapshots, QEMU's job takes longer than HMP's savevm for the same work, because it wakes itself at each write to a disk.

Everything shares one core. On two, the disks' many small writes take three times as long, and vary by half.
"""

import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from bench.fleet import Fleet
from bench.load import negotiated
from bench.measures.real import ask, ask_all, make_folder
from bench.results import Measurement, figure, median
from bench.targets import start_proxy
from shim.qmp import Execute
from tests.integration.qemu_vm import IDLE_ROM, QEMUVM, make_qcow2

__all__ = ["measure_surveys"]

_SHAPES: Final = ((1, 0), (12, 50), (26, 100))
_COMMANDS: Final = ("savevm", "loadvm", "delvm")
_NODES: Final = Execute("query-named-block-nodes", {"flat": True})
_FIXED_MS: Final = 2.0
_LIMIT: Final = 1.3
_DISK: Final = "if=none,id=d{0},format=qcow2,cache=unsafe,file=d{0}.qcow2"


@dataclass(frozen=True, slots=True)
class _Monitors:
    """Connections to one VM: of a client without a relay, and of one of the proxy."""

    native: socket.socket
    proxied: socket.socket


_Way: TypeAlias = Callable[[str], None]


def measure_surveys(fleet: Fleet, *, is_quick: bool) -> Iterator[Measurement]:
    """Time the commands on an idle VM of each shape, natively and through the proxy, with changing order."""
    for disks, snapshots in _SHAPES:
        with _vm(fleet, disks, snapshots) as monitors:
            yield _measure(monitors, f"survey: {disks} disks, {snapshots} snapshots each", rounds=3 if is_quick else 20)


def _measure(monitors: _Monitors, title: str, *, rounds: int) -> Measurement:
    ways: list[_Way] = [_by_hmp(monitors.native), _by_jobs(monitors.native), _by_hmp(monitors.proxied)]
    times_ms: dict[tuple[int, str], list[float]] = {(way, name): [] for way in range(len(ways)) for name in _COMMANDS}
    nodes_ms: list[float] = []
    for number in range(-1, rounds):  # in the very first round, the proxy learns the wiring
        nodes = median([_timed_ms(lambda: ask(monitors.native, _NODES)) for _ in range(3)])
        taken = {
            (way, name): _timed_ms(partial(ways[way], name))
            for way in (range(len(ways)) if number % 2 else reversed(range(len(ways))))
            for name in _COMMANDS
        }
        if number >= 0:
            nodes_ms.append(nodes)
            for which, spent_ms in taken.items():
                times_ms[which].append(spent_ms)
    unit_ms = median(_quieter_half(nodes_ms)) + _FIXED_MS
    figures = [figure("query-named-block-nodes", nodes_ms, "ms")]
    for name in _COMMANDS:
        native, by_jobs, proxied = (_quieter_half(times_ms[way, name]) for way in range(len(ways)))
        added_ms = [through - plain for plain, through in zip(native, proxied, strict=True)]
        qemus_ms = [without - plain for plain, without in zip(native, by_jobs, strict=True)]
        figures.append(figure(f"{name} of HMP", times_ms[0, name], "ms"))
        figures.append(figure(f"{name} added", added_ms, "ms"))
        figures.append(figure(f"{name} added ÷ (query + 2 ms)", [one / unit_ms for one in added_ms], "", _LIMIT))
        figures.append(figure("of that QEMU's own, without a proxy", [one / unit_ms for one in qemus_ms], ""))
    return Measurement(title, figures=tuple(figures))


def _quieter_half(times_ms: Sequence[float]) -> list[float]:
    """Return the faster half of the rounds: noise only ever adds."""
    return sorted(times_ms)[: -(-len(times_ms) // 2)]


def _by_hmp(sock: socket.socket) -> _Way:
    def run(name: str) -> None:
        ask(sock, Execute("human-monitor-command", {"command-line": f"{name} t"}), may_answer="")

    return run


def _by_jobs(sock: socket.socket) -> _Way:
    """Return a way that sends the necessary queries, and a snapshot job that is queried and dismissed in the same write."""

    def run(name: str) -> None:
        nodes = ask(sock, _NODES)
        ask(sock, Execute("x-debug-query-block-graph"))
        assert isinstance(nodes, list)
        disks = [node["node-name"] for node in reversed(nodes) if node["drv"] == "qcow2"]
        arguments = {"job-id": "bench", "tag": "t", "devices": disks}
        arguments |= {} if name == "delvm" else {"vmstate": disks[0]}
        job = Execute(f"snapshot-{name.removesuffix('vm').replace('del', 'delete')}", arguments)
        ask_all(sock, [job, Execute("query-jobs"), Execute("job-dismiss", {"id": "bench"})])

    return run


def _timed_ms(run: Callable[[], object]) -> float:
    begun_ns = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - begun_ns) / 1e6


@contextmanager
def _vm(fleet: Fleet, disks: int, snapshots: int) -> Iterator[_Monitors]:
    folder = make_folder(fleet, f"disks{disks}", IDLE_ROM)
    _make_images(fleet, folder, disks, snapshots)
    devices = [f"scsi-hd,drive=d{number},channel=0,scsi-id={number},lun=0" for number in range(disks)]
    machine = ["-bios", "rom", "-device", "virtio-scsi-pci"]
    for number, device in enumerate(devices):
        machine += ["-drive", _DISK.format(number), "-device", device]
    with fleet.running(QEMUVM(machine, folder=folder, observed=True)) as vm:
        assert vm.observer_path is not None
        proxy = start_proxy(fleet, vm.observer_path, str(folder / "proxy"))
        assert proxy.process is not None
        fleet.wait_listening(proxy.path, proxy.process)
        with negotiated(vm.qmp_path) as native, negotiated(proxy.path) as proxied:
            yield _Monitors(native, proxied)
        fleet.stop(proxy.process)
    shutil.rmtree(folder)


def _make_images(fleet: Fleet, folder: Path, disks: int, snapshots: int) -> None:
    """Make one image with the snapshots, and copy it."""
    first = make_qcow2(folder / "d0.qcow2", "64M")
    if snapshots:
        with fleet.running(QEMUVM(["-S", "-drive", _DISK.format(0)], folder=folder)) as vm:
            with negotiated(vm.qmp_path) as sock:
                for number in range(snapshots):
                    ask(sock, Execute("blockdev-snapshot-internal-sync", {"device": "d0", "name": f"snapshot {number}"}))
            vm.quit()
    for number in range(1, disks):
        shutil.copy(first, folder / f"d{number}.qcow2")

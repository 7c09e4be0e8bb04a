"""What the survey costs: snapshot commands on VMs with many disks and many snapshots, natively and through the proxy.

A rewritten command has to ask once for all nodes with their snapshots. So the time that it adds is told as a multiple of that
query's own time, and of 2 ms for all that does not grow with the VM.
"""

import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.fleet import Fleet
from bench.load import negotiated
from bench.real import ask, make_folder, use_all_cores
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


def measure_surveys(fleet: Fleet, *, is_quick: bool) -> Iterator[Measurement]:
    """Time the commands on an idle VM of each shape, natively and through the proxy in turn, changing who is first."""
    for disks, snapshots in _SHAPES:
        with _vm(fleet, disks, snapshots) as monitors:
            yield _measure(monitors, f"survey: {disks} disks, {snapshots} snapshots each", rounds=3 if is_quick else 20)


def _measure(monitors: _Monitors, title: str, *, rounds: int) -> Measurement:
    nodes_ms: list[float] = []
    native_ms: dict[str, list[float]] = {command: [] for command in _COMMANDS}
    proxied_ms: dict[str, list[float]] = {command: [] for command in _COMMANDS}
    for number in range(-1, rounds):  # the first round of all makes the proxy acquainted
        nodes = median([_timed_ms(monitors.native, _NODES) for _ in range(3)])
        taken = {}
        for sock in (monitors.native, monitors.proxied) if number % 2 else (monitors.proxied, monitors.native):
            taken[sock] = [_timed_ms(sock, _hmp(f"{command} t")) for command in _COMMANDS]
        if number < 0:
            continue
        nodes_ms.append(nodes)
        for command, plain, through in zip(_COMMANDS, taken[monitors.native], taken[monitors.proxied], strict=True):
            native_ms[command].append(plain)
            proxied_ms[command].append(through)
    unit_ms = median(_quieter_half(nodes_ms)) + _FIXED_MS
    figures = [figure("query-named-block-nodes", nodes_ms, "ms")]
    for command in _COMMANDS:
        quickest = zip(_quieter_half(native_ms[command]), _quieter_half(proxied_ms[command]), strict=True)
        added_ms = [through - plain for plain, through in quickest]
        figures.append(figure(f"{command} of HMP", native_ms[command], "ms"))
        figures.append(figure(f"{command} added", added_ms, "ms"))
        figures.append(figure(f"{command} added ÷ (query + 2 ms)", [one / unit_ms for one in added_ms], "", _LIMIT))
    return Measurement(title, figures=tuple(figures))


def _quieter_half(times_ms: Sequence[float]) -> list[float]:
    """Give the quickest rounds. With 26 disks HMP's own savevm takes from 0.1 to 0.4 s, and noise only ever adds."""
    return sorted(times_ms)[: -(-len(times_ms) // 2)]


def _hmp(command_line: str) -> Execute:
    return Execute("human-monitor-command", {"command-line": command_line})


def _timed_ms(sock: socket.socket, command: Execute) -> float:
    begun_ns = time.perf_counter_ns()
    ask(sock, command, may_answer=None if command == _NODES else "")
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
        use_all_cores(vm)
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

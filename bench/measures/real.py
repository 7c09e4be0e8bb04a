"""The same with a real QEMU: pings, and the rewritten snapshot commands compared with HMP's own on a twin VM."""

import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.errors import BenchError
from bench.fleet import Fleet
from bench.load import negotiated
from bench.measures.workloads import QEMU_WORKLOADS, measure
from bench.programs import Programs
from bench.results import Measurement, figure
from bench.targets import RELAYS, start_proxy, start_relays
from shim.qmp import Execute
from tests.integration.qemu_vm import DIRTYING_ROM, IDLE_ROM, QEMUVM, make_qcow2, make_raw

__all__ = ["ask", "ask_all", "make_folder", "measure_pings", "measure_snapshots"]

_COMMANDS: Final = ("savevm", "loadvm", "delvm")
_LIMIT_MS: Final = 5.0


def measure_pings(fleet: Fleet, programs: Programs, names: set[str], *, is_quick: bool) -> Iterator[Measurement]:
    """Run the workloads with these names on one idle VM that has a monitor for each relay."""
    folder = make_folder(fleet, "pinged", IDLE_ROM)
    monitors = [argument for name in RELAYS for argument in ("-qmp", f"unix:{name}.qmp,server=on,wait=off")]
    with fleet.running(QEMUVM(["-bios", "rom", *monitors], folder=folder)):
        targets = start_relays(fleet, "qemu", lambda name: str(folder / f"{name}.qmp"))
        for workload in QEMU_WORKLOADS:
            if workload.name in names:
                yield measure(fleet, programs, targets, workload, is_quick=is_quick)


def measure_snapshots(fleet: Fleet, *, is_quick: bool) -> Measurement:
    """Time savevm, loadvm and delvm natively on one VM and through the proxy on its twin, alternating, with changing roles.

    The guests dirty their memory. Only the VM that is timed runs, and on all cores: otherwise its guest would slow QEMU down.
    """
    added_ms: dict[str, list[float]] = {command: [] for command in _COMMANDS}
    native_ms: dict[str, list[float]] = {command: [] for command in _COMMANDS}
    with _twin(fleet, "twin0") as first, _twin(fleet, "twin1") as second:
        for number in range(3 if is_quick else 20):
            native, proxied = (first, second) if number % 2 else (second, first)
            for command in _COMMANDS:
                pair = [(native, native.native), (proxied, proxied.proxied)]
                times = [_timed_ms(*one, f"{command} t") for one in (pair if number // 2 % 2 else reversed(pair))]
                plain, through = times if number // 2 % 2 else reversed(times)
                native_ms[command].append(plain)
                added_ms[command].append(through - plain)
    figures = [
        one
        for command in _COMMANDS
        for one in (
            figure(f"{command} of HMP", native_ms[command], "ms"),
            figure(f"{command} added", added_ms[command], "ms", _LIMIT_MS),
        )
    ]
    return Measurement("real QEMU: snapshots", figures=tuple(figures))


def make_folder(fleet: Fleet, name: str, rom: bytes) -> Path:
    """Make a folder for a VM, with its firmware."""
    folder = fleet.folder / name
    folder.mkdir()
    make_raw(folder / "rom", len(rom), content=rom)
    return folder


@dataclass(frozen=True, slots=True)
class _Twin:
    """Connections to one VM: of a client without a relay, and of one of the proxy."""

    native: socket.socket
    proxied: socket.socket


@contextmanager
def _twin(fleet: Fleet, name: str) -> Iterator[_Twin]:
    folder = make_folder(fleet, name, DIRTYING_ROM)
    make_qcow2(folder / "disk", "64M")
    machine = ["-bios", "rom", "-drive", "file=disk,format=qcow2,if=virtio", "-S"]
    with fleet.running(QEMUVM(machine, folder=folder, observed=True)) as vm:
        _use_all_cores(vm)
        assert vm.observer_path is not None
        proxy = start_proxy(fleet, vm.observer_path, str(folder / "proxy"))
        assert proxy.process is not None
        fleet.wait_listening(proxy.path, proxy.process)
        with negotiated(vm.qmp_path) as native, negotiated(proxy.path) as proxied:
            yield _Twin(native, proxied)
        fleet.stop(proxy.process)


def _use_all_cores(vm: QEMUVM) -> None:
    """Let a VM run on all cores, while everything else stays pinned to one."""
    assert vm.process is not None
    for task in Path(f"/proc/{vm.process.pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), range(os.cpu_count() or 1))


def _timed_ms(twin: _Twin, sock: socket.socket, command_line: str) -> float:
    ask(twin.native, Execute("cont"))
    command = Execute("human-monitor-command", {"command-line": command_line})
    begun_ns = time.perf_counter_ns()
    ask(sock, command, may_answer="")
    spent_ms = (time.perf_counter_ns() - begun_ns) / 1e6
    ask(twin.native, Execute("stop"))
    return spent_ms


def ask(sock: socket.socket, command: Execute, *, may_answer: object = None) -> object:
    """Return what a command returns, skipping events. Raises BenchError for an error.

    may_answer: the only value that it may return; None for any.
    """
    (answer,) = ask_all(sock, [command])
    if may_answer is not None and answer != may_answer:
        raise BenchError(f"{command.arguments}: {answer!r}")
    return answer


def ask_all(sock: socket.socket, commands: Sequence[Execute]) -> list[object]:
    """Send commands in one write, and return what they return. Raises BenchError for the first error."""
    sock.sendall(b"".join(command.to_wire() for command in commands))
    answers: list[object] = []
    held = b""
    while len(answers) < len(commands):
        data = sock.recv(65536)
        if not data:
            raise BenchError(f"the connection ended during {commands[len(answers)].command}")
        *lines, held = (held + data).split(b"\n")
        for reply in map(json.loads, lines):
            if "error" in reply:
                raise BenchError(f"{commands[len(answers)].command}: {reply['error']['desc']}")
            if "return" in reply:
                answers.append(reply["return"])
    return answers

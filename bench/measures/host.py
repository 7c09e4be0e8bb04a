"""A whole host in one process: what a thousand VMs cost, and what a change of ten costs the others.

Most VMs share one stub server, by a symbolic link each. It takes longer per message the more VMs there are, so the VMs whose
pings are timed have stub servers of their own, and so has the single VM of the process with which they are compared.
"""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.errors import BenchError
from bench.fleet import Fleet
from bench.load import negotiated
from bench.measures.costs import resident_mib
from bench.measures.timing import ping_ns
from bench.programs import Programs
from bench.results import Measurement, figure, median
from bench.targets import start_proxy, start_stub

__all__ = ["measure_host"]

_PINGED: Final = 8
_CHANGED: Final = 10
_CLIENTS: Final = 2
_PINGS: Final = 500
_NS_PER_MS: Final = 1e6
_DESCRIPTORS: Final = 20_000
_DEADLINE_S: Final = 60.0
_READ: Final = """\
import sys, time
from host.configuration.config_file import read_config_file
for _ in range(3):
    begun_ns = time.perf_counter_ns()
    read_config_file(sys.argv[1])
    print(time.perf_counter_ns() - begun_ns)
"""


def measure_host(fleet: Fleet, programs: Programs, *, is_quick: bool) -> Measurement:
    """Start a process with a thousand VMs (a hundred in a quick run), and measure what it takes."""
    count = 100 if is_quick else 1000
    rounds = 2 if is_quick else 5
    _allow_descriptors()
    with fleet.scope(), ExitStack() as stack:
        # Comes first: the first start of all compiles the sources, which takes memory, too.
        alone = _one_vm(fleet, programs)
        host = _Host(fleet, programs, count)
        stack.callback(host.close)
        _await_stillness(host.pid)
        idle_mib, idle_cpu = resident_mib(host.pid), _idle_cpu_ms(host.pid, is_quick=is_quick)
        for path in [path for path in host.paths for _ in range(_CLIENTS)]:
            stack.enter_context(negotiated(path))
        with_clients_mib, cpu_ms = resident_mib(host.pid), _idle_cpu_ms(host.pid, is_quick=is_quick)
        pings = [_ping_ratio(stack, alone, host.paths[number % _PINGED]) for number in range(max(rounds, _PINGED))]
        read_ns = _time_to_read_ns(fleet, host.config)
        reloads_ns = [host.reload_ns() for _ in range(rounds)]
        longest_ns = [host.longest_ping_ns() for _ in range(rounds)]
    figures = (
        figure("VMs", [count]),
        figure("resident", [idle_mib], "MiB", 40),
        figure(f"resident, {_CLIENTS} clients each", [with_clients_mib], "MiB", 60),
        figure("CPU a second, idle", [idle_cpu], "ms", 1),
        figure("CPU a second, idle clients", [cpu_ms], "ms", 1),
        figure("ping ÷ that of one VM", pings, "", 1.1),
        figure("reading the file", [read_ns / _NS_PER_MS], "ms"),
        figure(f"reload with {_CHANGED} changed ÷ reading", [spent_ns / read_ns for spent_ns in reloads_ns], "", 1.5),
        figure("ping of another VM meanwhile, the longest", [late_ns / _NS_PER_MS for late_ns in longest_ns], "ms", 10),
    )
    return Measurement("a host in one process", figures=figures)


class _Host:
    """The process with all VMs. paths: where their clients connect; VMs with stub servers of their own come first."""

    def __init__(self, fleet: Fleet, programs: Programs, count: int) -> None:
        self._folder = fleet.folder / "host"
        self._folder.mkdir()
        self.paths = [str(self._folder / f"l{number}") for number in range(count)]
        self.config = self._folder / "hmpshim.toml"
        self._policy = "auto"
        crowd = start_stub(fleet, programs, "crowd")
        for number in range(count):
            own = start_stub(fleet, programs, f"own{number}") if number < _PINGED else crowd
            os.symlink(own, self._folder / f"q{number}")
        self._write_config()
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(self._folder / "notify"))
        self._manager.settimeout(_DEADLINE_S)
        environment = {"NOTIFY_SOCKET": str(self._folder / "notify"), "XDG_STATE_HOME": str(self._folder / "state")}
        command = [sys.executable, "-m", "proxy", "--config", str(self.config)]
        self._process: subprocess.Popen[str] = fleet.start(command, environment=environment)
        self._await("READY=1")

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        self._manager.close()

    def reload_ns(self) -> int:
        """Change ten VMs, and return how long the reload took."""
        self._change()
        begun_ns = time.perf_counter_ns()
        os.kill(self.pid, signal.SIGHUP)
        self._await("READY=1")
        return time.perf_counter_ns() - begun_ns

    def longest_ping_ns(self) -> int:
        """Change ten VMs, and return how long the longest ping of another VM took meanwhile."""
        self._change()
        longest_ns = 0
        with negotiated(self.paths[0]) as sock:
            ping_ns(sock)
            os.kill(self.pid, signal.SIGHUP)
            self._manager.setblocking(False)
            while not self._has_said("READY=1"):
                longest_ns = max(longest_ns, ping_ns(sock))
        self._manager.settimeout(_DEADLINE_S)
        return longest_ns

    def _change(self) -> None:
        self._policy = "hmp" if self._policy == "auto" else "auto"
        self._write_config()

    def _write_config(self) -> None:
        with self.config.open("w") as file:
            for number, path in enumerate(self.paths):
                file.write(f'[[vm]]\nname = "vm{number}"\nupstream = "unix:{self._folder}/q{number}"\nlisten = "unix:{path}"\n')
                if number >= len(self.paths) - _CHANGED:
                    file.write(f'policy = "{self._policy}"\n')

    def _await(self, word: str) -> None:
        while word not in self._receive():
            pass

    def _has_said(self, word: str) -> bool:
        try:
            return word in self._receive()
        except BlockingIOError:
            return False

    def _receive(self) -> list[str]:
        try:
            return self._manager.recv(4096).decode().splitlines()
        except TimeoutError as exc:
            raise BenchError("the process with all VMs does not begin to serve") from exc


def _allow_descriptors() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if most == resource.RLIM_INFINITY else min(_DESCRIPTORS, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _await_stillness(pid: int) -> None:
    """Wait until the process is idle: some work is done for one VM after the other."""
    end_s, spent_ns = time.monotonic() + _DEADLINE_S, -1
    while spent_ns != (now_ns := _cpu_ns(pid)):
        if time.monotonic() > end_s:
            raise BenchError("the process with all VMs is never still")
        spent_ns = now_ns
        time.sleep(1)


def _idle_cpu_ms(pid: int, *, is_quick: bool) -> float:
    """Return the CPU time that a process takes per second while nothing happens (proc(5), schedstat)."""
    seconds = 1 if is_quick else 5
    time.sleep(0.5)
    before_ns = _cpu_ns(pid)
    time.sleep(seconds)
    return (_cpu_ns(pid) - before_ns) / seconds / _NS_PER_MS


def _cpu_ns(pid: int) -> int:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def _one_vm(fleet: Fleet, programs: Programs) -> str:
    target = start_proxy(fleet, start_stub(fleet, programs, "onevm"), str(fleet.folder / "onevm"))
    assert target.process is not None
    fleet.wait_listening(target.path, target.process)
    return target.path


def _ping_ratio(stack: ExitStack, alone: str, among_many: str) -> float:
    """Return how long a ping through one of many VMs takes, divided by that through a single one, alternating."""
    socks = [stack.enter_context(negotiated(path)) for path in (alone, among_many)]
    one, many = ([ping_ns(sock) for _ in range(_PINGS)] for sock in socks)
    one_again, many_again = ([ping_ns(sock) for _ in range(_PINGS)] for sock in socks)
    return median([*many, *many_again]) / median([*one, *one_again])


def _time_to_read_ns(fleet: Fleet, config: Path) -> float:
    """Return how long a process that does nothing else takes to read the file."""
    return median([int(line) for line in fleet.output([sys.executable, "-c", _READ, str(config)]).split()])

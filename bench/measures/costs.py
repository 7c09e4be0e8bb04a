"""What hmp-proxy costs besides time on the wire: its start, its memory, its page faults, and bytes for QEMU."""

import json
import time
from pathlib import Path
from typing import Final

from bench.fleet import Fleet
from bench.load import await_lines, negotiated
from bench.measures.workloads import PING
from bench.programs import Programs
from bench.results import Measurement, figure
from bench.stub import fnv1a
from bench.targets import start_proxy, start_stub

__all__ = ["measure_bytes", "measure_growth", "measure_process", "resident_mib"]

_WARM_UP = 100
_MESSAGES = 1000
_MINFLT: Final = 7  # the index after the command's name; proc(5), /proc/PID/stat, field 10
# Spelled as no program would, so that it shows if the proxy parses and re-encodes it.
_COMMAND = '{ "execute":"x-received" ,\t"arguments" : {"b":1.50, "a": "\\u00e9é", "c": [ ]} ,"id": "\\/" }  \n'.encode()


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process (proc(5), VmRSS)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


def _minor_faults(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[_MINFLT])


def measure_process(fleet: Fleet, programs: Programs, *, is_quick: bool) -> Measurement:
    """Measure fresh processes. Only their first client shows page faults: with a second one they may not occur."""
    starts, idle, faults = zip(*(_fresh(fleet, programs, number) for number in range(3 if is_quick else 9)), strict=True)
    figures = (
        figure("start to listening", starts, "ms", 120),
        figure("resident, idle with one VM", idle, "MiB", 22),
        figure("page faults a message", faults, "", 0.1),
    )
    return Measurement("fresh process", figures=figures)


def _fresh(fleet: Fleet, programs: Programs, number: int) -> tuple[float, float, float]:
    upstream = start_stub(fleet, programs, f"alone{number}")
    begun_ns = time.perf_counter_ns()
    target = start_proxy(fleet, upstream, str(fleet.folder / f"alone{number}"))
    assert target.process is not None
    fleet.wait_listening(target.path, target.process)
    start_ms = (time.perf_counter_ns() - begun_ns) / 1e6
    with negotiated(target.path) as sock:
        idle_mib = resident_mib(target.process.pid)
        before = 0
        for message in range(_WARM_UP + _MESSAGES):
            if message == _WARM_UP:
                before = _minor_faults(target.process.pid)
            sock.sendall(PING.encode() + b"\n")
            await_lines(sock, 1)
        after = _minor_faults(target.process.pid)
    fleet.stop(target.process)
    return start_ms, idle_mib, (after - before) / _MESSAGES


def measure_bytes(fleet: Fleet, programs: Programs) -> Measurement:
    """Compare what a client sends with what arrives at QEMU's side."""
    target = start_proxy(fleet, start_stub(fleet, programs, "bytes"), str(fleet.folder / "bytes"))
    assert target.process is not None
    fleet.wait_listening(target.path, target.process)
    with negotiated(target.path) as sock, sock.makefile("rb") as lines:
        sock.sendall(_COMMAND)
        received = json.loads(lines.readline())["return"]
    fleet.stop(target.process)
    is_same = received == {"bytes": len(_COMMAND), "hash": fnv1a(_COMMAND)}
    changed = 0 if is_same else max(1, abs(received["bytes"] - len(_COMMAND)))
    return Measurement(
        "forwarded command",
        figures=(
            figure("bytes from the client", [len(_COMMAND)], "bytes"),
            figure("bytes that QEMU gets", [received["bytes"]], "bytes"),
            figure("bytes added or changed", [changed], "bytes", 0),
        ),
    )


def measure_growth(pid: int, idle_mib: float) -> Measurement:
    """Return by how much the proxy of all workloads has grown since it was idle."""
    grown = resident_mib(pid) - idle_mib
    return Measurement("after all workloads", figures=(figure("resident memory grew by", [grown], "MiB", 8),))

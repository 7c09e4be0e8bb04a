"""How much time and memory `hmp-audit report` takes, compared with a loop that only decodes the lines."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

from bench.errors import BenchError
from bench.fleet import Fleet
from bench.load import negotiated
from bench.records import generate
from bench.results import Measurement, figure
from shim.qmp import Execute
from tests.integration.qemu_vm import QEMUVM, make_qcow2

__all__ = ["measure_report"]

_RECORDS: Final = 1_000_000
_QUICK_RECORDS: Final = 50_000
_LIMIT: Final = 2.0
_LIMIT_MIB: Final = 150
_BYTES_A_RECORD: Final = 4096
_LOOP: Final = "import json, sys\nfor line in open(sys.argv[1], 'rb'): json.loads(line)"
# What tools do, including failures: each command line, and how often it is sent.
_TRAFFIC: Final = (
    *(("savevm t1", 3), ("info snapshots", 3), ("loadvm t1", 2), ("loadvm none", 1), ("delvm t1", 1), ("savevm a b", 1)),
    *(("info status", 4), ("info block", 3), ("stop", 1), ("cont", 1), ("nonsense", 1)),
)


def measure_report(fleet: Fleet, *, is_quick: bool) -> Measurement:
    """Make a log from the records of a real VM, and read it in both ways, alternating."""
    count = _QUICK_RECORDS if is_quick else _RECORDS
    log = _make_log(fleet, count)
    report = [sys.executable, "-m", "audit", "report", "--json", str(log)]
    loops, reports, peaks = [], [], []
    for _ in range(2 if is_quick else 3):
        loop_s, _, _ = _run(fleet, [sys.executable, "-c", _LOOP, str(log)])
        report_s, peak_mib, output = _run(fleet, report)
        if json.loads(output)["log"]["records"] != count:
            raise BenchError("hmp-audit report did not count all records")
        loops.append(loop_s)
        reports.append(report_s)
        peaks.append(peak_mib)
    size_bytes = log.stat().st_size
    log.unlink()
    return Measurement(
        f"hmp-audit report: {count:,} records",
        figures=(
            figure("size of the log", [size_bytes / (1 << 20)], "MiB"),
            figure("json.loads of each line", loops, "s"),
            figure("report", reports, "s"),
            figure("÷ json.loads", [whole / loop for whole, loop in zip(reports, loops, strict=True)], "", _LIMIT),
            figure("resident at most", peaks, "MiB", _LIMIT_MIB),
        ),
    )


def _make_log(fleet: Fleet, count: int) -> Path:
    log = fleet.folder_with_room(count * _BYTES_A_RECORD) / "generated.jsonl"
    with log.open("w", encoding="ascii") as file:
        file.writelines(generate(_real_records(fleet), count, seed=1))
    return log


def _real_records(fleet: Fleet) -> list[dict[str, Any]]:
    """Send the traffic to a real VM through the proxy, and return the proxy's records."""
    folder = fleet.folder / "audited"
    folder.mkdir()
    make_qcow2(folder / "disk", "16M")
    log = folder / "audit.jsonl"
    with fleet.scope(), fleet.running(QEMUVM(["-drive", "file=disk,format=qcow2,if=virtio,id=d0"], folder=folder)) as vm:
        path = str(folder / "legacy.sock")
        sockets = ["--upstream", f"unix:{vm.qmp_path}", "--listen", f"unix:{path}"]
        proxy = fleet.start([sys.executable, "-m", "proxy", *sockets, "--audit", str(log)])
        fleet.wait_listening(path, proxy)
        with negotiated(path) as sock:
            for command_line, times in _TRAFFIC:
                for number in range(times):
                    command = Execute("human-monitor-command", {"command-line": command_line})
                    sock.sendall(command.to_wire())
                    _await_reply(sock, f"{command_line} ({number})")
    return [json.loads(line) for line in log.read_text(encoding="ascii").splitlines()]


def _await_reply(sock: Any, what: str) -> None:
    held = b""
    while b'"return"' not in held:
        data = sock.recv(65536)
        if not data:
            raise BenchError(f"the connection ended during {what}")
        held += data


def _run(fleet: Fleet, command: list[str]) -> tuple[float, float, str]:
    """Run a process to its end; return its time in s, its peak memory in MiB, and its output."""
    begun_s = time.perf_counter()
    child = fleet.start(command)
    assert child.stdout is not None
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    spent_s = time.perf_counter() - begun_s
    fleet.stop(child)
    if status:
        raise BenchError(f"status {os.waitstatus_to_exitcode(status)} from: {' '.join(command)}")
    return spent_s, usage.ru_maxrss / 1024, output

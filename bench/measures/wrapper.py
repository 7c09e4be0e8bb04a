"""What `hmp-proxy wrap` adds to the start of a real QEMU: until its first client gets the greeting, and the first answer."""

import json
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from bench.errors import BenchError
from bench.fleet import Fleet
from bench.measures.timing import all_cores
from bench.programs import Programs
from bench.results import Measurement, figure
from bench.targets import start_proxy, start_stub
from tests.integration.qemu_vm import qemu_binary

__all__ = ["measure_wrapper"]

_MACHINE: Final = ("-accel", "tcg", "-m", "32", "-display", "none", "-nodefaults")
_WRAP: Final = (sys.executable, "-m", "proxy", "wrap", "--")
_DEADLINE_S: Final = 20.0
_NEGOTIATION: Final = b'{"execute": "qmp_capabilities"}\n'
# The time until the greeting, and until the first answer, in ms.
_Times: TypeAlias = tuple[float, float]


def measure_wrapper(fleet: Fleet, programs: Programs, *, is_quick: bool) -> Iterator[Measurement]:
    """Start QEMU bare and wrapped, and the proxy alone, alternating: on all cores, and on the core that everything else uses.

    QEMU and the proxy start at the same time, and the guest begins to run meanwhile. On one core, the three share it.
    """
    count = 4 if is_quick else 16
    with all_cores():
        yield _measure("wrapped QEMU", [_round(fleet, programs, f"wrapped{number}") for number in range(count)], 1.0)
    yield _measure("on one core", [_round(fleet, programs, f"pinned{number}") for number in range(count)], None)


def _measure(name: str, rounds: Sequence[tuple[_Times, _Times, float]], limit: float | None) -> Measurement:
    bare, wrapped, alone = zip(*rounds[1:], strict=True)  # the first round finds cold caches
    added = [[after - before for before, after in zip(*pair, strict=True)] for pair in zip(bare, wrapped, strict=True)]
    figures = (
        figure("bare: start to greeting", [greeting for greeting, _ in bare], "ms"),
        figure("wrapped: start to greeting", [greeting for greeting, _ in wrapped], "ms"),
        figure("the proxy's own start", alone, "ms"),
        figure("greeting: added ÷ own start", [one[0] / own for one, own in zip(added, alone, strict=True)], "", limit),
        figure("first answer: added ÷ own start", [one[1] / own for one, own in zip(added, alone, strict=True)], "", limit),
    )
    return Measurement(name, figures=figures)


def _round(fleet: Fleet, programs: Programs, name: str) -> tuple[_Times, _Times, float]:
    folder = fleet.folder / name
    folder.mkdir()
    bare = _until_answered_ms(fleet, (), folder / "bare")
    wrapped = _until_answered_ms(fleet, _WRAP, folder / "wrapped")
    return bare, wrapped, _own_start_ms(fleet, programs, folder / "alone")


def _until_answered_ms(fleet: Fleet, wrapper: Sequence[str], path: Path) -> tuple[float, float]:
    begun_ns = time.perf_counter_ns()
    qemu = fleet.start([*wrapper, qemu_binary(), *_MACHINE, "-qmp", f"unix:{path},server=on,wait=off"])
    with _connected(path) as client, client.makefile("rb") as lines:
        lines.readline()
        greeted_ns = time.perf_counter_ns()
        client.sendall(_NEGOTIATION)
        if "return" not in json.loads(lines.readline()):
            raise BenchError("QEMU does not negotiate")
        answered_ns = time.perf_counter_ns()
    fleet.stop(qemu)
    return (greeted_ns - begun_ns) / 1e6, (answered_ns - begun_ns) / 1e6


def _connected(path: Path) -> socket.socket:
    """Connect as soon as somebody listens."""
    deadline_s = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline_s:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(_DEADLINE_S)
        with suppress(FileNotFoundError, ConnectionRefusedError):
            client.connect(str(path))
            return client
        client.close()
    raise BenchError(f"nobody listens at {path}")


def _own_start_ms(fleet: Fleet, programs: Programs, path: Path) -> float:
    upstream = start_stub(fleet, programs, path.parent.name)
    begun_ns = time.perf_counter_ns()
    target = start_proxy(fleet, upstream, str(path))
    assert target.process is not None
    fleet.wait_listening(target.path, target.process)
    spent_ms = (time.perf_counter_ns() - begun_ns) / 1e6
    fleet.stop(target.process)
    return spent_ms

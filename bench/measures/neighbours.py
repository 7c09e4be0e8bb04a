"""A VM and a neighbour whose QEMU misbehaves, in one process: how long pings take, compared with a quiet neighbour.

This runs on all cores, so that the misbehaving program takes the time of another core.
"""

import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.fleet import Fleet
from bench.load import negotiated
from bench.measures.timing import all_cores, ping_ns
from bench.programs import Programs
from bench.results import Figure, Measurement, figure, median
from bench.targets import start_stub
from tests.support.processes.bad_qemu import Kind

__all__ = ["measure_neighbours"]

_QUIET: Final = "quiet"
# The kinds that keep the process busy.
_BUSY: Final = (Kind.FLOODING, Kind.FLAPPING, Kind.LIES, Kind.NONSENSE)
_NS_PER_MS: Final = 1e6


def measure_neighbours(fleet: Fleet, programs: Programs, *, is_quick: bool) -> Measurement:
    """Ping a VM with each kind of neighbour, one after the other, and with a quiet one in the same round."""
    rounds, pings = (2, 200) if is_quick else (5, 2000)
    with all_cores():
        figures = [one for kind in _BUSY for one in _beside(fleet, programs, kind, rounds, pings)]
    return Measurement("a VM beside one that misbehaves", figures=tuple(figures))


def _beside(fleet: Fleet, programs: Programs, kind: Kind, rounds: int, pings: int) -> Iterator[Figure]:
    with fleet.scope(), _pair(fleet, programs, _QUIET) as quiet, _pair(fleet, programs, kind) as bad:
        taken = [(_pings_ns(quiet, pings), _pings_ns(bad, pings)) for _ in range(rounds)]
    yield figure(f"{kind}: ping ÷ quiet", [median(its) / median(own) for own, its in taken], "")
    yield figure(f"{kind}: the longest of {pings} pings", [max(its) / _NS_PER_MS for _, its in taken], "ms", 20)


@contextmanager
def _pair(fleet: Fleet, programs: Programs, neighbour: str) -> Iterator[socket.socket]:
    """Start a process with two VMs, and yield a client of the one that does not misbehave."""
    folder = Path(fleet.folder, f"beside-{neighbour}-{len(os.listdir(fleet.folder))}")
    folder.mkdir()
    good, other = start_stub(fleet, programs, f"{folder.name}.good"), str(folder / "other.qmp")
    if neighbour == _QUIET:
        os.symlink(start_stub(fleet, programs, f"{folder.name}.other"), other)
    else:
        fleet.wait_listening(other, fleet.start([sys.executable, "-m", "tests.support.processes.bad_qemu", neighbour, other]))
    config = folder / "hmpshim.toml"
    config.write_text("".join(_table(folder, name, upstream) for name, upstream in (("good", good), ("other", other))))
    proxy = fleet.start([sys.executable, "-m", "proxy", "--config", str(config)])
    fleet.wait_listening(str(folder / "good"), proxy)
    with negotiated(str(folder / "good")) as sock:
        yield sock


def _table(folder: Path, name: str, upstream: str) -> str:
    return f'[[vm]]\nname = "{name}"\nupstream = "unix:{upstream}"\nlisten = "unix:{folder}/{name}"\n'


def _pings_ns(sock: socket.socket, count: int) -> Sequence[int]:
    return [ping_ns(sock) for _ in range(count)]

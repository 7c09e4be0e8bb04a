"""The relays that are compared, each a process in front of a socket of its own."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.fleet import Fleet
from bench.programs import Programs

__all__ = [
    "DIRECT",
    "PROXY",
    "RELAYS",
    "SOCAT",
    "STREAMS",
    "Target",
    "absent_relays",
    "start_proxy",
    "start_relays",
    "start_stub",
]

DIRECT: Final = "direct"
SOCAT: Final = "socat"
STREAMS: Final = "qemu.qmp"
PROXY: Final = "hmp-proxy"
RELAYS: Final = (DIRECT, SOCAT, STREAMS, PROXY)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect. process: the relay's, None for no relay."""

    path: str
    process: subprocess.Popen[str] | None = None


def absent_relays() -> dict[str, str]:
    """Return the relays that cannot run here, and why."""
    absent = {}
    if shutil.which("socat") is None:
        absent[SOCAT] = "socat is not installed"
    if importlib.util.find_spec("qemu") is None or importlib.util.find_spec("qemu.qmp") is None:
        absent[STREAMS] = "qemu.qmp is not installed"
    return absent


def start_stub(fleet: Fleet, programs: Programs, name: str) -> str:
    """Start a stub server, and return its path."""
    path = str(fleet.folder / f"{name}.stub")
    fleet.wait_listening(path, fleet.start([*programs.stub, path]))
    return path


def start_proxy(fleet: Fleet, upstream: str, path: str) -> Target:
    """Start hmp-proxy; it may not listen yet."""
    command = [sys.executable, "-m", "proxy", "--upstream", f"unix:{upstream}", "--listen", f"unix:{path}"]
    return Target(path, fleet.start([*command, *fleet.proxy_options]))


def start_relays(fleet: Fleet, label: str, upstream: Callable[[str], str]) -> dict[str, Target]:
    """Start each relay that can run here. upstream: returns the path that a relay connects to, by the relay's name."""
    absent = absent_relays()
    targets: dict[str, Target] = {}
    for name in RELAYS:
        if name in absent:
            continue
        target = _start(fleet, name, upstream(name), str(fleet.folder / f"{label}.{name}"))
        if target.process is not None:
            fleet.wait_listening(target.path, target.process)
        targets[name] = target
    return targets


def _start(fleet: Fleet, name: str, upstream: str, path: str) -> Target:
    if name == SOCAT:
        return Target(path, fleet.start(["socat", f"UNIX-LISTEN:{path},fork", f"UNIX-CONNECT:{upstream}"]))
    if name == STREAMS:
        return Target(path, fleet.start([sys.executable, "-m", "bench.relay", upstream, path]))
    return start_proxy(fleet, upstream, path) if name == PROXY else Target(upstream)

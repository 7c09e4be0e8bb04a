"""What a command did, as another monitor sees it: the text, the run state, and the snapshots of every image.

Made equal beforehand is only what differs between any two runs of QEMU (tests.integration.twins).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM
from tests.integration.twins import Case, normal, normal_tag, started
from tests.support.raw_client import RawClient, command_bytes

__all__ = ["Images", "Outcome", "Told", "ask", "images_of", "play_lines", "tell", "twin_lines"]

# Image to its snapshots in order: the tag, and whether there is a VM state.
Images: TypeAlias = Mapping[str, Sequence[tuple[str, bool]]]

# A file's own name, at the end of a path or within a `json:` pseudo-filename.
_FILE: Final = re.compile(r"[\w-]+\.\w+")
# The overlay that `snapshot=on` makes.
_TEMPORARY: Final = re.compile(r"vl\.\w+")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A line and what came of it."""

    line: str
    text: str
    run_state: str
    images: Images


@dataclass(frozen=True, slots=True)
class Told:
    """All that one twin let see. records: the proxy's audit; empty for the native twin."""

    outcomes: Sequence[Outcome]
    records: Sequence[dict[str, Any]]


def images_of(client: RawClient) -> Images:
    """Return the snapshots of every qcow2 image that a node of the VM has open."""
    nodes = client.returned("query-named-block-nodes", {"flat": True})
    described = [node["image"] for node in nodes if node["drv"] == "qcow2"]
    return {_image_name(image["filename"]): _snapshots(image) for image in described}


def _image_name(filename: str) -> str:
    return _TEMPORARY.sub("temporary", _FILE.findall(filename)[-1])


def _snapshots(image: Mapping[str, Any]) -> Sequence[tuple[str, bool]]:
    return [(normal_tag(snapshot["name"]), snapshot["vm-state-size"] > 0) for snapshot in image.get("snapshots", ())]


def ask(client: RawClient, line: str) -> str:
    """Run an HMP line and give its text, made equal."""
    client.send(command_bytes("human-monitor-command", {"command-line": line}))
    text: str = json.loads(normal(client.read_until_reply()[-1]))["return"]
    return text


def tell(client: RawClient, observer: RawClient, lines: Sequence[str]) -> list[Outcome]:
    """Run the lines one by one and see what each did."""
    return list(_told(client, observer, lines))


def _told(client: RawClient, observer: RawClient, lines: Sequence[str]) -> Iterator[Outcome]:
    for line in lines:
        text = ask(client, line)
        yield Outcome(line, text, observer.returned("query-status")["status"], images_of(observer))


@contextmanager
def _asked(vm: QEMUVM, options: Sequence[str] | None) -> Iterator[tuple[RawClient, ProxyProcess | None]]:
    """Return a client of QEMU itself, or of a proxy with these options."""
    if options is None:
        with vm.negotiated() as native:
            yield native, None
    else:
        with ProxyProcess(vm.folder, vm.qmp_path, options) as proxy, proxy.negotiated() as client:
            yield client, proxy


def play_lines(case: Case, lines: Sequence[str], options: Sequence[str] | None, *, paused: bool = False) -> Told:
    """Start the case's machine and run the lines: natively where `options` is None, else through the proxy."""
    with started(case, paused=paused) as vm, _asked(vm, options) as (client, proxy), vm.negotiated(observer=True) as observer:
        outcomes = tell(client, observer, lines)
        assert vm.is_alive
        return Told(outcomes, [] if proxy is None else proxy.records)


def twin_lines(case: Case, lines: Sequence[str], options: Sequence[str] = (), *, paused: bool = False) -> tuple[Told, Told]:
    """Run the lines on both twins at once; give what came of them natively, then through the proxy."""
    with ThreadPoolExecutor(2) as pool:
        native, proxied = (pool.submit(play_lines, case, lines, way, paused=paused) for way in (None, options))
        return native.result(), proxied.result()

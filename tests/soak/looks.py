"""Looks at what is there: a VM's disks, and what processes hold."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from shim.plans.jobs import JOB_PREFIX
from tests.integration.faults.disks import is_internal
from tests.integration.machines import pattern_of
from tests.soak.oracle import Seen, Violation
from tests.support.raw_client import RawClient

__all__ = ["descriptors_of", "is_tidy", "own_jobs", "rss_kib", "seen_on", "wait_until", "zombies_of"]

_RETRY_S: Final = 0.01
_RSS: Final = re.compile(r"VmRSS:\s+(\d+) kB")


def seen_on(folder: Path, observer: RawClient, images: dict[str, str]) -> Seen:
    """Look at a running VM. images: the device of each image."""
    for device in images.values():
        observer.hmp(f"qemu-io {device} flush")
    nodes = observer.returned("query-named-block-nodes", {"flat": True})
    tags = [_tags(nodes, image) for image in images]
    return Seen(tuple(tags), tuple(pattern_of(folder / image) for image in images))


def _tags(nodes: list[dict[str, Any]], image: str) -> tuple[str, ...]:
    (found,) = (node["image"] for node in nodes if node["drv"] == "qcow2" and node["image"]["filename"].endswith(image))
    return tuple(sorted(snapshot["name"] for snapshot in found.get("snapshots", ())))


def own_jobs(observer: RawClient) -> list[dict[str, Any]]:
    """Return the proxy's jobs."""
    return [job for job in observer.returned("query-jobs") if job["id"].startswith(JOB_PREFIX)]


def is_tidy(observer: RawClient) -> bool:
    """Tell whether nothing of the proxy's own is left in QEMU or on a disk."""
    nodes = observer.returned("query-named-block-nodes", {"flat": True})
    tags = {snapshot["name"] for node in nodes for snapshot in node["image"].get("snapshots", ())}
    return not own_jobs(observer) and not any(map(is_internal, tags))


def rss_kib(pid: int) -> int:
    """Return the memory that a process has now."""
    found = _RSS.search(Path(f"/proc/{pid}/status").read_text())
    assert found is not None, f"process {pid} has ended"
    return int(found[1])


def descriptors_of(pid: int) -> list[str]:
    """Return what a process has open."""
    folder = Path(f"/proc/{pid}/fd")
    found = []
    for entry in sorted(folder.iterdir()):
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:
            continue  # closed meanwhile
    return found


def zombies_of(pid: int) -> list[str]:
    """Return the children of a process that have ended, and that it did not wait for."""
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in listed.read_text().split():
            # proc_pid_stat(5): the state stands after the name, which is in parentheses.
            text = Path(f"/proc/{child}/stat").read_text()
            if text.rpartition(") ")[2].startswith("Z"):
                found.append(text)
    return found


def wait_until(where: str, what: str, condition: Callable[[], object], deadline_s: float) -> None:
    """Wait until the condition holds; Violation if it does not."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise Violation(where, what, f"not within {deadline_s:g} s")
        time.sleep(_RETRY_S)

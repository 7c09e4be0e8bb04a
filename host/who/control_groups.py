"""Which systemd unit and which container a process belongs to, by the paths of its control groups.

`/proc/PID/cgroup` has one path for version 2, and one for each hierarchy of version 1 (cgroups(7)); systemd's own hierarchy is
`name=systemd` there. The paths have the forms of systemd 252, Docker, Podman, CRI-O, containerd, Kubernetes and LXC, with
either of their two cgroup drivers. A process that another control group's namespace hides (`/../..`) has neither unit nor
container.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["Place", "place_of"]


class Place(NamedTuple):
    """unit: as for systemctl. container: its runtime, and its name or the beginning of its id."""

    unit: str | None = None
    container: str | None = None


_ID: Final = r"(?P<id>[0-9a-f]{12})[0-9a-f]{52}"
_CONTAINERS: Final = (
    (re.compile(rf"docker-{_ID}\.scope"), "docker"),
    (re.compile(rf"libpod-{_ID}(?:\.scope)?"), "podman"),
    (re.compile(rf"cri-containerd-{_ID}\.scope"), "containerd"),
    (re.compile(rf"nerdctl-{_ID}\.scope"), "containerd"),
    (re.compile(rf"crio-{_ID}(?:\.scope)?"), "cri-o"),
    (re.compile(r"lxc\.payload\.(?P<id>[^/]+)"), "lxc"),
    (re.compile(r"machine-(?P<id>.+)\.scope"), "machine"),
    (re.compile(r"systemd-nspawn@(?P<id>.+)\.service"), "machine"),
)
# With the driver `cgroupfs` the id stands alone, and a folder above it names the runtime.
_LONE_ID: Final = re.compile(_ID)
_FOLDERS: Final = {"docker": "docker", "libpod_parent": "podman", "ecs": "ecs"}
_ESCAPED: Final = re.compile(r"\\x([0-9a-f]{2})")
_UNIT_ENDINGS: Final = (".service", ".scope")
# These do not belong to the process itself: a user's manager, and the first process of a container or the machine.
_NO_UNIT: Final = re.compile(r"user@\d+\.service|init\.scope")


def place_of(text: str) -> Place:
    """Parse `/proc/PID/cgroup`."""
    paths = list(_paths(text))
    if not paths:
        return Place()
    for path in paths:
        parts = path.split("/")
        for place, part in enumerate(parts):
            if (container := _container(parts, place)) is not None:
                return Place(_unit(parts[place + 1 :]), container)
            if part == "lxc" and place + 1 < len(parts):
                return Place(_unit(parts[place + 2 :]), f"lxc:{parts[place + 1]}")
    return Place(_unit(paths[0].split("/")))


def _paths(text: str) -> Iterator[str]:
    """Yield the paths, that of systemd's hierarchy first."""
    entries = [line.split(":", 2) for line in text.splitlines()]
    known = [(controllers, path) for _, controllers, path in (entry for entry in entries if len(entry) == 3) if path != "/"]
    yield from (path for _, path in sorted(known, key=lambda entry: entry[0] not in ("", "name=systemd")))


def _container(parts: list[str], place: int) -> str | None:
    part = parts[place]
    is_of_kubernetes = any(name.startswith("kubepods") for name in parts[:place])
    for pattern, runtime in _CONTAINERS:
        if (found := pattern.fullmatch(part)) is not None:
            return f"{'kubernetes' if is_of_kubernetes else runtime}:{_unescaped(found['id'])}"
    if (found := _LONE_ID.fullmatch(part)) is not None:
        above = [_FOLDERS[name] for name in parts[:place] if name in _FOLDERS]
        return f"{'kubernetes' if is_of_kubernetes else above[-1] if above else 'container'}:{found['id']}"
    return None


def _unit(parts: list[str]) -> str | None:
    units = [part for part in parts if part.endswith(_UNIT_ENDINGS) and not _NO_UNIT.fullmatch(part)]
    return units[-1] if units else None


def _unescaped(name: str) -> str:
    """Undo systemd's escaping of characters that are not allowed in a unit's name (systemd.unit(5))."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)

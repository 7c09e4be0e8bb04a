"""Look for VMs everywhere, and report where."""

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from host.configuration.config_file import read_config_file
from host.net.addresses import TCPAddress
from host.settings.config import VMConfig
from repl.finding.configured import config_paths, vms_of
from repl.finding.control import ServedVM, ask_proxies, control_paths
from repl.finding.processes import PROC, RunningQEMU, listening, running_qemus
from repl.finding.proxies import running_proxies
from repl.finding.vms import FoundVM, merge

__all__ = ["Finder", "Look", "Places", "look"]


@dataclass(frozen=True, slots=True)
class Look:
    """vms: what was found. places: where was looked, and what was there, as phrases. mistakes: in files that were found; what
    they say of a VM does not hold."""

    vms: tuple[FoundVM, ...]
    places: tuple[str, ...]
    mistakes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look. configs, controls: the paths of configuration files and of control sockets."""

    configs: Sequence[Path] = field(default_factory=config_paths)
    controls: Sequence[Path] = field(default_factory=control_paths)
    proc: Path = PROC


Finder: TypeAlias = Callable[[Sequence[VMConfig] | None], Look]


def look(only: Sequence[VMConfig] | None = None, places: Places | None = None) -> Look:
    """Look for VMs. only: the VMs of a given file, for which the other sources only tell their state; None finds all."""
    places = places or Places()
    served, about_proxies = _served(places.controls)
    running, paths = running_qemus(places.proc), listening(places.proc)
    served += _without_control(served, places.proc, paths)
    files = [] if only is not None else [_read(path) for path in dict.fromkeys(places.configs)]
    configured = list(only) if only is not None else [vm for file in files for vm in file.vms]
    vms = merge(configured, served, running, paths)
    if only is not None:
        vms = [vm for vm in vms if vm.config is not None]
    phrases = (*(file.phrase for file in files), *about_proxies, _about_processes(running, places.proc))
    return Look(tuple(vms), phrases, tuple(mistake for file in files for mistake in file.mistakes))


@dataclass(frozen=True, slots=True)
class _File:
    """A configuration file. phrase: what it is, or why it cannot be read."""

    phrase: str
    vms: Sequence[VMConfig] = ()
    mistakes: Sequence[str] = ()


def _read(path: Path) -> _File:
    try:
        is_there = path.exists()
    except OSError:
        is_there = True
    if not is_there:
        return _File(f"{path} (not there)")
    content = read_config_file(str(path))
    vms = vms_of(content)
    # A file that may not be read is somebody else's, and no mistake of whoever looks.
    mistakes = [str(mistake) for mistake in content.mistakes if mistake.line]
    if mistakes:
        return _File(f"{path} ({_count(len(vms), 'VM')}, {_count(len(mistakes), 'mistake')})", vms, mistakes)
    return _File(f"{path} ({content.mistakes[0].reason if content.mistakes else _count(len(vms), 'VM')})", vms)


def _served(paths: Sequence[Path]) -> tuple[list[ServedVM], list[str]]:
    vms: list[ServedVM] = []
    told = []
    different = list(dict.fromkeys(paths))
    for path, found in zip(different, ask_proxies(different), strict=True):
        vms += found or []
        told.append(f"{path} ({'no proxy answers' if found is None else _count(len(found), 'VM')})")
    return vms, told


def _without_control(served: Sequence[ServedVM], proc: Path, paths: Mapping[str, bool]) -> list[ServedVM]:
    """Return the VMs of proxies that tell nothing of them, as far as somebody listens where the proxy was told to."""
    told = {vm.upstream for vm in served}
    found = [vm for proxy in running_proxies(proc) for vm in proxy.vms if vm.upstream not in told]
    return [vm for vm in found if any(isinstance(one, TCPAddress) or _is_socket(one.path, paths) for one in vm.listen)]


def _is_socket(path: str, paths: Mapping[str, bool]) -> bool:
    """Tell whether somebody may listen there; the kernel knows the path as it was bound, which may have been a relative one."""
    try:
        return path in paths or stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _about_processes(running: Sequence[RunningQEMU], proc: Path) -> str:
    return f"{proc} ({_count(len({one.pid for one in running}), 'running QEMU')})"


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"

"""Look for VMs everywhere, and report where."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from host.configuration.config_file import read_config_file
from host.settings.config import VMConfig
from repl.finding.configured import config_paths, vms_of
from repl.finding.control import ServedVM, ask_proxies, control_paths
from repl.finding.processes import PROC, RunningQEMU, listening, running_qemus
from repl.finding.vms import FoundVM, merge

__all__ = ["Finder", "Look", "Places", "look"]


@dataclass(frozen=True, slots=True)
class Look:
    """What a search found. places: where it looked and what was there, as phrases."""

    vms: tuple[FoundVM, ...]
    places: tuple[str, ...]


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
    running = running_qemus(places.proc)
    configured, about_files = (list(only), []) if only is not None else _configured(places.configs)
    vms = merge(configured, served, running, listening(places.proc))
    if only is not None:
        vms = [vm for vm in vms if vm.config is not None]
    return Look(tuple(vms), (*about_files, *about_proxies, _about_processes(running, places.proc)))


def _configured(paths: Sequence[Path]) -> tuple[list[VMConfig], list[str]]:
    vms: list[VMConfig] = []
    told = []
    for path in dict.fromkeys(paths):
        try:
            is_there = path.exists()
        except OSError:
            is_there = True
        if not is_there:
            told.append(f"{path} (not there)")
            continue
        content = read_config_file(str(path))
        found = vms_of(content)
        vms += found
        told.append(f"{path} ({content.mistakes[0].reason if content.mistakes else _count(len(found), 'VM')})")
    return vms, told


def _served(paths: Sequence[Path]) -> tuple[list[ServedVM], list[str]]:
    vms: list[ServedVM] = []
    told = []
    different = list(dict.fromkeys(paths))
    for path, found in zip(different, ask_proxies(different), strict=True):
        vms += found or []
        told.append(f"{path} ({'no proxy answers' if found is None else _count(len(found), 'VM')})")
    return vms, told


def _about_processes(running: Sequence[RunningQEMU], proc: Path) -> str:
    return f"{proc} ({_count(len(running), 'running QEMU')})"


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"

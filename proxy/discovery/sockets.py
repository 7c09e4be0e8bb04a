"""Discover VMs by a look at the folders in which their sockets are.

A look can take a while on a remote file system, so it runs in a thread. Its result is compared with what was there before, so
no single look decides anything that could be reversed a moment later:

* A socket that has gone is dropped once it has been away for a while. A QEMU that restarts is waited for like any other, and
  one that keeps restarting costs no more than a QEMU that is waited for.
* Whether anybody listens at a socket is not checked. The socket that a killed QEMU has left is a VM that is waited for.
* While its QEMU is connected a VM stays, whatever is at the path. If the path is taken over, the socket there is ours, and
  QEMU's was moved aside; when QEMU has gone, a socket of ours that still holds the path does not count.
* Our own sockets are never found: neither those at which clients come in nor those that were moved aside. A pattern that fits
  them would create a proxy for a proxy, endlessly.
"""

import logging
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from host.configuration.discover import PathPattern, Template, is_wildcard, regex_of_part
from host.errors import ConfigError
from host.net.addresses import AcceptAddress, Address, UnixAddress, plain
from host.settings.config import VMConfig
from proxy.control.status import PatternStatus
from shim.printable import natural

__all__ = ["GONE_AFTER_S", "Connected", "Sockets", "find"]

_log = logging.getLogger(__name__)

# Longer than a tool takes to restart QEMU, and short for somebody who waits to see that a VM has gone.
GONE_AFTER_S: Final = 3.0
# How soon to look again for a missing socket while its QEMU is connected: QEMU removes its socket before it hangs up.
_LOOK_AGAIN_S: Final = 1.0

# Called with each folder before it is read, and again with the error if it cannot be read.
_Enter: TypeAlias = Callable[[str, OSError | None], object]


def _enter(folder: str, problem: OSError | None) -> None:
    """Ignore it."""


@dataclass(frozen=True, slots=True)
class Connected:
    """What the fleet knows of the VMs that were found, by path. served: their QEMUs are connected. held: the socket at the path
    is the proxy's own."""

    served: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Found:
    """A socket. vm: None if a problem keeps it from being served. was_served: under a previous template. gone_s: since when it
    is missing; None if it is there. due_s: when to look for it again."""

    template: Template
    vm: VMConfig | None = None
    problem: str | None = None
    was_served: bool = False
    gone_s: float | None = None
    due_s: float | None = None

    def follow(self, template: Template) -> None:
        """Switch to another template, if it is another one, and drop the VM that the previous one made."""
        if self.template is not template:
            self.template, self.vm, self.was_served = template, None, self.was_served or self.vm is not None


@dataclass(slots=True)
class Sockets:
    """What was found so far. Only one look may run at a time.

    own: paths of the process's sockets that belong to no VM. watch: called with each folder before it is read.
    """

    own: Collection[str] = ()
    watch: Callable[[str], object] = str
    folders: set[str] = field(default_factory=set)
    _found: dict[str, _Found] = field(default_factory=dict)
    _unreadable: set[str] = field(default_factory=set)

    def look(
        self, templates: Sequence[Template], static: Sequence[VMConfig], connected: Connected, now_s: float
    ) -> list[VMConfig]:
        """Return the VMs that there are now, in the order of their paths. static: the VMs that the file names."""
        self.folders.clear()
        taken = {identity for path in self._own_paths(static) if (identity := _identity(path)) is not None}
        candidates = [
            (path, identity, template)
            for template in templates
            for path, identity in sorted(find(template.pattern, self._enter).items())
            if template.pattern.values(path) is not None and path not in connected.held
        ]
        present: dict[str, Template] = {}
        # Two paths may lead to one socket; the path by which it is known already wins.
        for path, identity, template in sorted(candidates, key=lambda one: one[0] not in self._found):
            if identity not in taken:
                taken.add(identity)
                present[path] = template
        self._note(present, templates, connected, now_s)
        self._admit(static)
        return [vm for _, found in sorted(self._found.items()) if (vm := found.vm) is not None]

    def paths(self) -> dict[str, str]:
        """Return the paths of the VMs that are served, by the key under which the fleet knows them."""
        return {found.vm.shown_name: path for path, found in self._found.items() if found.vm is not None}

    def due_s(self) -> float | None:
        """Return when to look again for missing sockets; None if none is missing."""
        return min((found.due_s for found in self._found.values() if found.due_s is not None), default=None)

    def status(self, templates: Sequence[Template]) -> list[PatternStatus]:
        """Return the status of each pattern: how many sockets it fits, and what is wrong with them."""
        told = []
        for template in templates:
            found = {path: one for path, one in self._found.items() if one.template is template}
            problems = tuple(
                f"{path}: {why}" for path in sorted(found, key=natural) if (why := found[path].problem) is not None
            )
            told.append(PatternStatus(template.pattern.text, len(found), problems))
        return told

    def _own_paths(self, static: Sequence[VMConfig]) -> Iterator[str]:
        """Yield the paths of sockets that must not be found: our own, and those of VMs that the file names."""
        yield from self.own
        found = [one.vm for one in self._found.values() if one.vm is not None]
        for vm in static:
            upstream = vm.upstream.listening if isinstance(vm.upstream, AcceptAddress) else vm.upstream
            yield from (address.path for address in (upstream, vm.take_over) if isinstance(address, UnixAddress))
        for vm in (*static, *found):
            yield from (address.path for address in (*vm.listen, *vm.hmp_listen) if isinstance(address, UnixAddress))

    def _enter(self, folder: str, problem: OSError | None) -> None:
        self.folders.add(folder)
        if problem is None:
            self.watch(folder)
        elif folder not in self._unreadable:
            self._unreadable.add(folder)
            _log.warning("cannot look for sockets in %s: %s", folder, problem.strerror)

    def _note(self, present: Mapping[str, Template], templates: Sequence[Template], connected: Connected, now_s: float) -> None:
        """Note which sockets have come, and which are missing or have gone."""
        for path, template in present.items():
            found = self._found.setdefault(path, _Found(template))
            found.follow(template)
            found.gone_s = found.due_s = None
        for path, found in list(self._found.items()):
            if path in present:
                continue
            fitting = [template for template in templates if template.pattern.values(path) is not None]
            if found.gone_s is None or path in connected.served:
                found.gone_s = now_s
            if not fitting or now_s - found.gone_s >= GONE_AFTER_S:
                del self._found[path]
                continue
            found.follow(fitting[0])
            found.due_s = now_s + _LOOK_AGAIN_S if path in connected.served else found.gone_s + GONE_AFTER_S

    def _admit(self, static: Sequence[VMConfig]) -> None:
        """Make VMs of new sockets, unless a VM with the same name, or at the same address, was there before."""
        taken = {mark for vm in static for mark in _marks(vm)}
        for _, found in sorted(self._found.items()):
            taken |= set() if found.vm is None else _marks(found.vm)
        for path, found in sorted(self._found.items(), key=lambda item: (not item[1].was_served, item[0])):
            if found.vm is not None:
                continue
            problem = None
            try:
                vm = found.template.vm_at(path)
            except (ConfigError, ValueError) as exc:
                problem = str(exc)
            except Exception as exc:  # of whatever kind: it concerns this socket alone
                problem = f"unexpected error: {exc!r}"
            else:
                if both := _marks(vm) & taken:
                    problem = f"another VM has {min(map(str, both))!r} already; each needs one of its own"
                else:
                    found.vm = vm
                    taken |= _marks(vm)
            if problem is not None and problem != found.problem:
                _log.error("%s is not served: %s", path, problem)
            found.problem = problem


def _marks(vm: VMConfig) -> set[str | Address]:
    """Return what no two VMs may share."""
    return {vm.shown_name, *(plain(address) for address in (*vm.listen, *vm.hmp_listen))}


def find(pattern: PathPattern, enter: _Enter = _enter) -> dict[str, tuple[int, int]]:
    """Return the paths that a pattern fits now and that are sockets, each with an identity that is the same by whichever path.

    A folder that does not exist is watched for where it would be created. What may not be read is left out.
    """
    found = [""]
    for number, part in enumerate(pattern.parts):
        is_last = number == len(pattern.parts) - 1
        found = [path for folder in found for path in _step(folder, part, enter, is_last=is_last)]
    return {path: identity for path in found if (identity := _identity(path)) is not None}


def _step(folder: str, part: str, enter: _Enter, *, is_last: bool) -> Iterable[str]:
    """Return the paths that one part of a pattern fits in a folder."""
    if not is_wildcard(part):
        path = f"{folder}/{part}"
        is_there = not is_last and os.path.isdir(path)
        if not is_there:
            enter(folder or "/", None)
        return [path] if is_last or is_there else []
    enter(folder or "/", None)
    fits = re.compile(regex_of_part(part), re.DOTALL).fullmatch
    try:
        with os.scandir(folder or "/") as entries:
            return [f"{folder}/{entry.name}" for entry in entries if fits(entry.name) and (is_last or entry.is_dir())]
    except FileNotFoundError:
        return []
    except OSError as exc:
        enter(folder or "/", exc)
        return []


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISSOCK(found.st_mode) else None

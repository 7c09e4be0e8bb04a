"""The proxies that run on this machine, with or without a control socket, from their command lines in /proc (proc(5)).

What a proxy tells itself at its control socket is better known: this is how it was started. Another user's process counts only
for VMs whose QEMU has a socket of that user's (trust.py), and not by their names: a VM is known by its name too, and anybody
could call one of theirs like it.
"""

import argparse
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from host.configuration.config_file import ConfigFile, read_config_file
from host.net.addresses import TCPAddress, UnixAddress, plain
from host.settings.config import VMConfig
from host.settings.listener import Terms, settle
from host.settings.settings import SETTINGS
from repl.finding.configured import vms_of
from repl.finding.control import ServedVM
from repl.finding.monitors import proxy_words
from repl.finding.processes import PROC, read_each, whole
from repl.finding.trust import is_believed, is_of, user_of

__all__ = ["RunningProxy", "running_proxies"]

_KEYS: Final = ("upstream", "listen", "attach", "take_over")
_PLACES: Final = {f"--{row.key.replace('_', '-')}": row for row in SETTINGS if row.key in _KEYS}
# Several thousand VMs, and soon read.
_MOST_CONFIG_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RunningProxy:
    """A process. vms: those that it was started for."""

    pid: int
    vms: tuple[ServedVM, ...]


def running_proxies(proc: Path = PROC) -> list[RunningProxy]:
    """Look at all processes, by their number."""
    return read_each(_proxy_of, proc)


def _proxy_of(process: Path, words: Sequence[str]) -> Iterator[RunningProxy]:
    if (own := proxy_words(words)) is not None:
        folder, user = process / "cwd", user_of(process)
        served = (_served(vm, folder, user) for vm in _vms(own, folder, user))
        yield RunningProxy(int(process.name), tuple(vm for vm in served if vm is not None))


def _served(vm: VMConfig, folder: Path, user: int | None) -> ServedVM | None:
    """Return what a user's process serves; None if that user may say nothing of this VM."""
    at = upstream = plain(vm.upstream)
    if isinstance(upstream, UnixAddress | TCPAddress):
        at = next(whole([upstream], folder), upstream)
    if not (is_believed(user) or is_of(user, at)):
        return None
    name = vm.name if is_believed(user) else None
    return ServedVM(name or str(at), str(at), tuple(whole(vm.open_listeners, folder)), is_served=True)


def _vms(words: Sequence[str], folder: Path, user: int | None) -> Sequence[VMConfig]:
    given: dict[str, list[str]] = {}
    for option, value in _options(words):
        given.setdefault(option, []).append(value)
    if "--config" in given:
        content = _read(os.path.join(_target(folder), given["--config"][-1]))
        # A pattern of another user's could have us search the whole disk.
        return vms_of(content) if is_believed(user) else content.vms
    try:
        return [_vm_of(given)]
    except (argparse.ArgumentTypeError, ValueError, TypeError):
        return []  # a proxy that ends with an error, or another program's words


def _read(path: str) -> ConfigFile:
    """Read a file that another process names, if it is one: a device, or what has to be waited for, is not for us."""
    nothing = ConfigFile()
    try:
        # A relative path begins in an unknown folder. Opening some devices does something, and a FIFO lets its writer begin.
        if not path.startswith("/") or not stat.S_ISREG(os.stat(path).st_mode):
            return nothing
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return nothing
    try:
        found = os.fstat(descriptor)
        is_fit = stat.S_ISREG(found.st_mode) and found.st_size <= _MOST_CONFIG_BYTES
        # By its descriptor, because another file may be at the path by now.
        return read_config_file(f"/proc/self/fd/{descriptor}") if is_fit else nothing
    finally:
        os.close(descriptor)


def _vm_of(given: dict[str, list[str]]) -> VMConfig:
    members: dict[str, Any] = {}
    for option, row in _PLACES.items():
        if option in given and row.type.from_word is not None:
            values = [row.type.from_word(value) for value in given[option]]
            members[row.key] = tuple(values) if row.type.is_repeatable else values[-1]
    terms = Terms(
        pretty="--pretty" in given, telnet="--telnet" in given, tls_certificate="".join(given.get("--tls-certificate", ())[-1:])
    )
    settled = settle(members, terms)
    for key in ("take_over", "attach"):
        if key in settled:
            settled.setdefault("upstream", plain(settled[key]))
    return VMConfig(**settled)


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each option with its value, or with the word after it, which may be another one."""
    for word, following in pairwise([*words, ""]):
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            yield option, value if equals else following


def _target(folder: Path) -> str:
    try:
        return os.readlink(folder)
    except OSError:
        return ""

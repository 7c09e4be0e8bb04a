"""The proxies that run on this machine, with or without a control socket, from their command lines in /proc (proc(5)).

What a proxy tells itself at its control socket is better known: this is how it was started.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from host.configuration.config_file import read_config_file
from host.net.addresses import TCPAddress, UnixAddress, plain
from host.settings.config import VMConfig
from host.settings.listener import Terms, settle
from host.settings.settings import SETTINGS
from repl.finding.configured import vms_of
from repl.finding.control import ServedVM
from repl.finding.monitors import proxy_words
from repl.finding.processes import PROC, command_lines, whole

__all__ = ["RunningProxy", "running_proxies"]

_KEYS: Final = ("upstream", "listen", "attach", "take_over")
_PLACES: Final = {f"--{row.key.replace('_', '-')}": row for row in SETTINGS if row.key in _KEYS}


@dataclass(frozen=True, slots=True)
class RunningProxy:
    """A process. vms: those that it was started for."""

    pid: int
    vms: tuple[ServedVM, ...]


def running_proxies(proc: Path = PROC) -> list[RunningProxy]:
    """Look at all processes, by their number."""
    found = []
    for pid, words in command_lines(proc):
        if (own := proxy_words(words)) is not None:
            folder = proc / str(pid) / "cwd"
            found.append(RunningProxy(pid, tuple(_served(vm, folder) for vm in _vms(own, folder))))
    return found


def _served(vm: VMConfig, folder: Path) -> ServedVM:
    upstream = plain(vm.upstream)
    at = next(whole([upstream], folder), upstream) if isinstance(upstream, UnixAddress | TCPAddress) else upstream
    return ServedVM(vm.name or str(at), str(at), tuple(whole(vm.open_listeners, folder)), is_served=True)


def _vms(words: Sequence[str], folder: Path) -> Sequence[VMConfig]:
    given: dict[str, list[str]] = {}
    for option, value in _options(words):
        given.setdefault(option, []).append(value)
    if "--config" in given:
        return vms_of(read_config_file(os.path.join(_target(folder), given["--config"][-1])))
    try:
        return [_vm_of(given)]
    except (argparse.ArgumentTypeError, ValueError, TypeError):
        return []  # a proxy that ends with an error, or another program's words


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
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            yield option, value if equals else following


def _target(folder: Path) -> str:
    try:
        return os.readlink(folder)
    except OSError:
        return ""

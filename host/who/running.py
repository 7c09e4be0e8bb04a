"""The name by which people know a process, from its executable and its command line.

An interpreter goes by its script's name, a compiled program by its own. Some programs do no work of their own: those that only
carry bytes (socat) or only start another program (timeout), and code on a command line. Whose work they do shows in the
processes above them (ancestry.py).
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from host.who.grammars import Script, grammar_of, is_shell

__all__ = ["Kind", "Running", "what_runs"]


class Kind(Enum):
    """TELLING: the name says whose work it does. CARRYING: an ancestor's name may. ENDING: no ancestor's name does either."""

    TELLING = auto()
    CARRYING = auto()
    ENDING = auto()


@dataclass(frozen=True, slots=True)
class Running:
    """name: what a person would call it. is_code: it is code on a command line."""

    name: str
    kind: Kind
    is_code: bool = False


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# These are the program whose name they are called by.
_MANY_IN_ONE: Final = _set("busybox toybox coreutils")
_CARRYING: Final = _set(
    "socat socat1 nc ncat netcat nc.openbsd nc.traditional telnet telnet.netkit inetutils-telnet websocat curl openssl ssh "
    "stunnel stunnel4 qmp-shell qmp-shell-wrap hmp-repl cat tee sed awk gawk mawk sudo sudo-rs doas su su-rs runuser run0 "
    "pkexec env nice ionice chrt taskset setsid setpriv timeout nohup stdbuf xargs parallel flock time strace ltrace unshare "
    "nsenter chroot systemd-run systemd-inhibit systemd-cat watch script unbuffer uv uvx poetry pipenv tini dumb-init catatonit"
)
_ENDING: Final = _set(
    "systemd init sshd sshd-session login agetty cron crond CRON anacron atd tmux screen conmon crun runc containerd "
    "containerd-shim containerd-shim-runc-v2 docker-init dockerd podman lxc-start"
)
_DELETED: Final = " (deleted)"
# CPython runs a folder or an archive that contains this.
_MAIN_OF_FOLDER: Final = "__main__.py"
_MAIN_OF_MODULE: Final = ".__main__"
# The title that a process has written itself begins with its name (`sshd: backup [priv]`).
_TITLE: Final = re.compile(r"([A-Za-z0-9_.+-]{1,64}):")


def what_runs(exe: str | None, argv: Sequence[str]) -> Running | None:
    """Return what a process runs; None if neither its executable nor its command line is known."""
    program = _program(exe, argv)
    if not program:
        return None
    words = argv[1:] if argv and os.path.basename(argv[0]) in _MANY_IN_ONE else argv
    grammar = grammar_of(program)
    if grammar is None:
        return Running(program, _kind(program))
    script = grammar.script(words)
    if script is None and (title := _title(argv)):
        return Running(title, _kind(title))
    if script is None:
        # A person types into it, or a text is piped into it.
        return Running(program, Kind.ENDING if is_shell(program) and "-s" not in words else Kind.CARRYING)
    if script.place is None:
        return Running(f"{program} {script.text}", Kind.CARRYING, is_code=True)
    name = _name(script)
    return Running(name, _kind(name))


def _program(exe: str | None, argv: Sequence[str]) -> str:
    """Return the name of the program. What the kernel says comes before what the process itself says."""
    by_kernel = os.path.basename((exe or "").removesuffix(_DELETED))
    if by_kernel and by_kernel not in _MANY_IN_ONE:
        return by_kernel
    words = list(argv)
    if words and os.path.basename(words[0]) in _MANY_IN_ONE:
        words = words[1:]
    if not words:
        return by_kernel
    return _title(words) or os.path.basename(_first_part(words[0]).lstrip("-"))


def _title(words: Sequence[str]) -> str:
    """Return the name in the title that a process has written itself; "" if it has written none."""
    found = _TITLE.match(words[0]) if words else None
    return "" if found is None else found[1]


def _first_part(word: str) -> str:
    """Return what precedes the first blank: a program's name ends there, while a title goes on with what it does."""
    return word.split(None, 1)[0] if word.strip() else ""


def _name(script: Script) -> str:
    path = script.text.rstrip("/")
    folder, _, name = path.rpartition("/")
    if name == _MAIN_OF_FOLDER and folder:
        name = os.path.basename(folder)
    return name.removesuffix(_MAIN_OF_MODULE) or script.text


def _kind(name: str) -> Kind:
    if name in _ENDING:
        return Kind.ENDING
    return Kind.CARRYING if name in _CARRYING else Kind.TELLING

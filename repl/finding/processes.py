"""The QEMUs that run on this machine, and their QMP sockets, from /proc (proc(5)).

For a QEMU that `hmp-proxy wrap` has started, the sockets for clients are in the wrapper's command line; QEMU's own command line
has descriptors instead.

The command line of another user's process can be read, but not its working directory, so its relative paths are left out.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from host.net.addresses import UnixAddress
from repl.finding.monitors import Socket, qemu_words, read_monitors

__all__ = ["PROC", "RunningQEMU", "command_lines", "is_stopped", "listening", "running_qemus", "whole"]

PROC: Final = Path("/proc")
_LISTENING_FLAG: Final = 0x10000  # __SO_ACCEPTCON


@dataclass(frozen=True, slots=True)
class RunningQEMU:
    """A QEMU process. name: from `-name`; None without it. sockets: QMP sockets with a known path, accessible or not.

    is_wrapped: `hmp-proxy wrap` serves these sockets.
    """

    pid: int
    name: str | None
    sockets: tuple[Socket, ...]
    is_wrapped: bool = False


def running_qemus(proc: Path = PROC) -> list[RunningQEMU]:
    """Look at all processes, by their number."""
    return [qemu for pid, words in command_lines(proc) if (qemu := _qemu_of(proc, pid, words)) is not None]


def command_lines(proc: Path = PROC) -> Iterator[tuple[int, list[str]]]:
    """Yield all processes by their number, each with the words of its command line."""
    try:
        pids = sorted(int(name) for name in os.listdir(proc) if name.isascii() and name.isdigit())
    except OSError:
        return
    for pid in pids:
        try:
            content = (proc / str(pid) / "cmdline").read_bytes()
        except OSError:  # it has ended, or is hidden (hidepid=)
            continue
        yield pid, [os.fsdecode(word) for word in content.removesuffix(b"\0").split(b"\0")]


def is_stopped(pid: int, proc: Path = PROC) -> bool:
    """Tell whether a signal or a debugger has a process stand still (proc_pid_stat(5)); False if that is not known."""
    try:
        status = (proc / str(pid) / "stat").read_bytes()
    except OSError:
        return False
    # The program's name is in parentheses, and may contain any character.
    return status.rpartition(b")")[2].split()[:1] in ([b"T"], [b"t"])


def _qemu_of(proc: Path, pid: int, words: list[str]) -> RunningQEMU | None:
    if (found := qemu_words(words)) is None:
        return None
    monitors = read_monitors(found[0])
    return RunningQEMU(pid, monitors.name, tuple(whole(monitors.sockets, proc / str(pid) / "cwd")), is_wrapped=found[1])


def whole(sockets: Iterable[Socket], folder: Path) -> Iterator[Socket]:
    """Yield sockets with their whole paths, without those of an unknown folder. folder: a link to where relative ones begin."""
    for socket in sockets:
        if not isinstance(socket, UnixAddress) or socket.path.startswith("/"):
            yield socket
            continue
        try:
            yield UnixAddress(os.path.normpath(os.path.join(os.readlink(folder), socket.path)))
        except OSError:
            continue


def listening(proc: Path = PROC) -> Mapping[str, bool]:
    """Return the paths of listening unix sockets, and for each whether a client is connected to it.

    Each line in /proc/net/unix describes one socket: address, references, protocol, flags, type, state, inode, path.
    """
    try:
        lines = (proc / "net" / "unix").read_bytes().splitlines()[1:]
    except OSError:
        return {}
    listeners: set[bytes] = set()
    accepted: set[bytes] = set()
    for fields in (line.split(maxsplit=7) for line in lines):
        if len(fields) == 8 and int(fields[3], 16) & _LISTENING_FLAG:
            listeners.add(fields[7])
        elif len(fields) == 8 and int(fields[6]):
            accepted.add(fields[7])
    return {os.fsdecode(path): path in accepted for path in listeners}

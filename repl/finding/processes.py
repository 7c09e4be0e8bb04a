"""The QEMUs that run on this machine, and their QMP sockets, from /proc (proc(5)).

For a QEMU that `hmp-proxy wrap` has started, the sockets for clients are in the wrapper's command line; QEMU's own command line
has descriptors instead.

The command line of another user's process can be read, but not its working directory, so its relative paths are left out. Nor
is it believed in all respects: see trust.py.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from host.net.addresses import UnixAddress
from repl.finding.monitors import Socket, qemu_words, read_monitors
from repl.finding.trust import is_believed, is_of, user_of

__all__ = ["PROC", "RunningQEMU", "is_stopped", "listening", "read_each", "running_qemus", "whole"]

_T = TypeVar("_T")

PROC: Final = Path("/proc")
_LISTENING_FLAG: Final = 0x10000  # __SO_ACCEPTCON


@dataclass(frozen=True, slots=True)
class RunningQEMU:
    """A QEMU process. name: from `-name`; None without it. sockets: QMP sockets with a known path, accessible or not.

    is_wrapped: `hmp-proxy wrap` serves these sockets. is_claimed: another user's process names this one socket, which is not
    known to be that user's. It is only a place to look at, and nothing else that the process says counts for it.
    """

    pid: int
    name: str | None
    sockets: tuple[Socket, ...]
    is_wrapped: bool = False
    is_claimed: bool = False


def running_qemus(proc: Path = PROC) -> list[RunningQEMU]:
    """Look at all processes, by their number. A process has more than one entry if it claims sockets that may be another's."""
    return read_each(_qemus_of, proc)


def read_each(read: Callable[[Path, Sequence[str]], Iterable[_T]], proc: Path) -> list[_T]:
    """Return what is read of all processes, by their number: of their folders, and of the words of their command lines."""
    found: list[_T] = []
    for pid, words in _command_lines(proc):
        try:
            found += list(read(proc / str(pid), words))
        except Exception:  # anybody can start a program with any words, and those of one must not hide the others
            continue
    return found


def _command_lines(proc: Path = PROC) -> Iterator[tuple[int, list[str]]]:
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


def _qemus_of(process: Path, words: Sequence[str]) -> Iterator[RunningQEMU]:
    if (found := qemu_words(words)) is None:
        return
    pid, user, monitors = int(process.name), user_of(process), read_monitors(found[0])
    sockets = tuple(whole(monitors.sockets, process / "cwd"))
    own = sockets if is_believed(user) else tuple(one for one in sockets if is_of(user, one))
    yield RunningQEMU(pid, monitors.name, own, is_wrapped=found[1])
    for other in sockets:
        if other not in own:
            yield RunningQEMU(pid, None, (other,), is_claimed=True)


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

"""The QEMUs that run on this machine, and their QMP sockets, from /proc (proc(5)).

For a QEMU that `hmp-proxy wrap` has started, the sockets for clients are in the wrapper's command line; QEMU's own command line
has descriptors instead.

The command line of another user's process can be read, but not its working directory, so its relative paths are left out.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from host.net.addresses import UnixAddress
from repl.finding.monitors import Socket, qemu_words, read_monitors

__all__ = ["PROC", "RunningQEMU", "listening", "running_qemus"]

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
    """Return the QEMUs among all processes, in the order of their pids."""
    try:
        pids = sorted(int(name) for name in os.listdir(proc) if name.isascii() and name.isdigit())
    except OSError:
        return []
    return [qemu for pid in pids if (qemu := _qemu_of(proc, pid)) is not None]


def _qemu_of(proc: Path, pid: int) -> RunningQEMU | None:
    try:
        content = (proc / str(pid) / "cmdline").read_bytes()
    except OSError:  # it has ended, or is hidden (hidepid=)
        return None
    words = [os.fsdecode(word) for word in content.removesuffix(b"\0").split(b"\0")]
    if (found := qemu_words(words)) is None:
        return None
    monitors = read_monitors(found[0])
    return RunningQEMU(pid, monitors.name, tuple(_absolute(monitors.sockets, proc / str(pid) / "cwd")), is_wrapped=found[1])


def _absolute(sockets: tuple[Socket, ...], folder: Path) -> Iterator[Socket]:
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

"""The words and descriptors with which QEMU is started, so that its monitors are ours."""

import contextlib
import fcntl
import os
import resource
import socket
from dataclasses import dataclass, field
from typing import Final

from proxy.qemu_command_line.command_line import CommandLine
from proxy.qemu_command_line.rewriting import configuration, rewrite

__all__ = ["Start", "prepare"]

# QEMU inherits our descriptors from here on. A command line may name a lower one that is not open, and must not find ours.
_FIRST_DESCRIPTOR: Final = 200
_FILE_NAME: Final = "hmp-proxy-monitors"


@dataclass(slots=True)
class Start:
    """How QEMU is started, and the proxy's ends of its monitors.

    Attributes:
        words: those after the program's name.
        control: our end of the monitor that QEMU has for us.
        idle: our ends of the monitors whose clients we serve. Nothing is sent there; they stay open for as long as QEMU runs.
        inherited: the descriptors for QEMU.
    """

    words: list[str]
    control: socket.socket
    idle: list[socket.socket] = field(default_factory=list)
    inherited: list[int] = field(default_factory=list)

    def close(self) -> None:
        """Undo what was opened, if QEMU is not started with it."""
        for sock in (self.control, *self.idle):
            sock.close()
        self.close_inherited()

    def close_inherited(self) -> None:
        """Leave QEMU's descriptors to QEMU alone. If we kept copies, no connection to it would ever end."""
        for number in self.inherited:
            os.close(number)
        self.inherited.clear()


def prepare(line: CommandLine) -> Start:
    """Open what QEMU inherits. Raises OSError, after which nothing of it is open."""
    with contextlib.ExitStack() as undone:
        inherited: list[int] = []

        def leave(number: int) -> None:
            inherited.append(_high_copy(number))
            undone.callback(os.close, inherited[-1])

        def pair() -> tuple[socket.socket, int]:
            ours, theirs = socket.socketpair()
            undone.callback(ours.close)
            with theirs:
                leave(theirs.fileno())
            return ours, inherited[-1]

        control, control_descriptor = pair()
        idle: dict[str, socket.socket] = {}
        numbers: dict[str, int] = {}
        for monitor in line.served:
            idle[monitor.label], numbers[monitor.label] = pair()
        file = os.memfd_create(_FILE_NAME)
        try:
            os.write(file, configuration(line, control_descriptor).encode(errors="surrogateescape"))
            leave(file)
        finally:
            os.close(file)
        # Not /dev/fd: the /dev that libvirt makes for each QEMU has none.
        words = rewrite(line, f"/proc/self/fd/{inherited[-1]}", lambda monitor: numbers[monitor.label])
        undone.pop_all()
    return Start(words, control, list(idle.values()), inherited)


def _high_copy(number: int) -> int:
    """Return a copy that QEMU inherits, with a number that is higher than people write on a command line."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = _FIRST_DESCRIPTOR if limit > 2 * _FIRST_DESCRIPTOR else 0
    return fcntl.fcntl(number, fcntl.F_DUPFD, lowest)

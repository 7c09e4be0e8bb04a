"""What `/proc` says about a process, with bounds. About one that has gone, or is hidden (`hidepid`, another user's), it says
nothing.

Nothing is known about a process in another PID namespace either: its pid here would be 0.
"""

import contextlib
import os
from typing import Final, NamedTuple

__all__ = ["PROC", "ProcessFiles", "Status"]

PROC: Final = "/proc"
# A Java class path may be long, and the name comes after it.
_MOST_COMMAND_LINE_BYTES: Final = 32 * 1024
_MOST_FILE_BYTES: Final = 16 * 1024


class Status(NamedTuple):
    """From `/proc/PID/stat`. started: as in `shim.client.Client`."""

    parent: int
    started: int


class ProcessFiles:
    """Read a folder with the structure of `/proc`."""

    def __init__(self, folder: str = PROC) -> None:
        self.folder = folder

    def argv(self, pid: int) -> tuple[str, ...]:
        """Return the command line as words; () if it is not known."""
        data = self._read(pid, "cmdline", _MOST_COMMAND_LINE_BYTES)
        # A process that writes its own title there pads it.
        text = data.decode("utf-8", "replace").rstrip("\0")
        return tuple(text.split("\0")) if text else ()

    def exe(self, pid: int) -> str | None:
        """Return the path of the executable; None if it is not known."""
        with contextlib.suppress(OSError):
            return os.readlink(f"{self.folder}/{pid}/exe")
        return None

    def status(self, pid: int) -> Status | None:
        """Return the parent and the start time (proc_pid_stat(5)); None if they are not known."""
        # The program's name is in parentheses, and may contain any character.
        words = self._read(pid, "stat", _MOST_FILE_BYTES).rpartition(b")")[2].split()
        return Status(int(words[1]), int(words[19])) if len(words) > 19 else None

    def control_groups(self, pid: int) -> str:
        """Return the text of its `cgroup`; "" if it is not known."""
        return self._read(pid, "cgroup", _MOST_FILE_BYTES).decode("utf-8", "replace")

    def _read(self, pid: int, name: str, most_bytes: int) -> bytes:
        # One read only: the kernel creates the text again for each, and a process can make that take long.
        with contextlib.suppress(OSError), open(f"{self.folder}/{pid}/{name}", "rb", buffering=0) as file:
            return file.read(most_bytes) or b""
        return b""

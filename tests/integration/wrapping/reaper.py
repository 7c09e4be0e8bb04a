"""A program that starts another one for each line that it reads, says its process id, and is the parent of all that it leaves.

    python reaper.py PROGRAM [ARG...]

libvirt takes a QEMU for running until its parent has waited for it, and that is the first process of the machine. In a
container this one may do so seconds later, or never.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Final

# prctl(2).
_PR_SET_CHILD_SUBREAPER: Final = 36


def _reap(number: int, frame: FrameType | None) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(command: list[str]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGCHLD, _reap)
    for _ in sys.stdin:
        sys.stdout.write(f"{os.posix_spawn(command[0], command, os.environ)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])

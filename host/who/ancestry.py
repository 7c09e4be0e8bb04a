"""Whose work a process does that only carries bytes: that of a script, perhaps several processes above it."""

from dataclasses import dataclass
from typing import Final

from host.who.process_files import ProcessFiles
from host.who.running import Kind, Running, what_runs

__all__ = ["Ancestor", "telling_ancestor"]

# `script → sh -c → sudo → timeout → socat`, and some more.
_MOST_STEPS: Final = 8


@dataclass(frozen=True, slots=True)
class Ancestor:
    """An ancestor of a process, and what it runs."""

    pid: int
    exe: str | None
    argv: tuple[str, ...]
    running: Running


def telling_ancestor(files: ProcessFiles, pid: int) -> Ancestor | None:
    """Return the nearest ancestor whose name tells whose work it is.

    If none does, return the nearest one that runs code from its command line (`sh -c "… | socat"`): that code is all there is
    to see. None if there is neither.
    """
    code = None
    for _ in range(_MOST_STEPS):
        status = files.status(pid)
        if status is None or not status.parent:
            break
        pid = status.parent
        exe, argv = files.exe(pid), files.argv(pid)
        running = what_runs(exe, argv)
        if running is None or running.kind is Kind.ENDING:
            break
        ancestor = Ancestor(pid, exe, argv, running)
        if running.kind is Kind.TELLING:
            return ancestor
        code = code or (ancestor if running.is_code else None)
    return code

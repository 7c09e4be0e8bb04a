"""Find the real QEMU when a wrapper stands under QEMU's own name."""

import os
import re
import sys
from collections.abc import Iterator, Mapping

from host.errors import ProgramError
from proxy.qemu_command_line.endpoints import Version

__all__ = ["QEMU_VARIABLE", "NoQEMUError", "find_qemu", "mark_environment", "refuse_circle", "version_of"]

# Names the real QEMU, since a wrapper that is called by QEMU's name has no options of its own.
QEMU_VARIABLE = "HMPSHIM_QEMU"
# Holds the pid of the process that started a script in QEMU's place. A script that starts the wrapper again would loop forever.
_MARK = "HMPSHIM_WRAPPED_BY"
_SCRIPT = b"#!"
_VERSION = re.compile(r"version (\d+)\.(\d+)")


class NoQEMUError(ProgramError):
    """There is no real QEMU to start."""

    # The status with which shells report a command that they do not find.
    exit_status = 127
    template = "cannot find the QEMU to run, {subject}: {reason}"


def find_qemu(name: str, environment: Mapping[str, str], own_path: str) -> str:
    """Return the path of the program: `name` if it is a path, else the first program of that name on PATH that is not the
    wrapper.

    own_path: of the running program, which may be a link to the wrapper. Raises NoQEMUError.
    """
    if "/" in name:
        if _is_same(name, own_path):
            raise NoQEMUError(name, f"this is the wrapper itself; name the real one with --qemu or {QEMU_VARIABLE}")
        return name
    for path in _on_path(name, environment.get("PATH", os.defpath)):
        if not _is_same(path, own_path):
            return path
    raise NoQEMUError(name, f"there is none on PATH beside the wrapper; name it with --qemu or {QEMU_VARIABLE}")


def refuse_circle(environment: Mapping[str, str]) -> None:
    """Raise NoQEMUError if a program in QEMU's place has started the wrapper again, in its own process or in a descendant."""
    mark = environment.get(_MARK)
    if mark is not None and any(mark == str(pid) for pid in _own_line()):
        reason = f"a script in its place starts the wrapper again; name the real one with --qemu or {QEMU_VARIABLE}"
        raise NoQEMUError(os.path.basename(sys.argv[0]), reason)


def mark_environment(program: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a program in QEMU's place: marked for a script, and without a mark for QEMU itself."""
    try:
        with open(program, "rb") as file:
            is_script = file.read(len(_SCRIPT)) == _SCRIPT
    except OSError:  # exec will report it
        is_script = False
    marked = {key: value for key, value in environment.items() if key != _MARK}
    return {**marked, _MARK: str(os.getpid())} if is_script else marked


def version_of(program: str) -> Version:
    """Ask a QEMU for its version; None if it does not say."""
    import subprocess  # here, because few command lines depend on it

    try:
        shown = subprocess.run(
            [program, "-version"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        ).stdout
    except OSError:
        return None
    found = _VERSION.search(shown)
    return None if found is None else (int(found[1]), int(found[2]))


def _own_line() -> Iterator[int]:
    """Yield this process, its parent, its parent's parent, and so on (proc_pid_stat(5))."""
    pid = os.getpid()
    while pid > 0:
        yield pid
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, up to the last bracket, may contain anything.
            _, parent, *_ = file.read().rpartition(b")")[2].split()
        pid = int(parent)


def _on_path(name: str, folders: str) -> Iterator[str]:
    for folder in folders.split(os.pathsep):
        path = os.path.join(folder or ".", name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            yield path


def _is_same(path: str, own_path: str) -> bool:
    return os.path.realpath(path) == os.path.realpath(own_path)

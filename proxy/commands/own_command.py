"""How this program was started, as a command that systemd can repeat, and why a service might not be able to.

An installed `hmp-proxy` is started by its own path, which stays the same when a package, or a link on the way to it, is
upgraded. Other forms are started by the interpreter that runs them now: the first line of hmpshim.pyz may find another one, and
a checkout needs the libraries of its own.
"""

import os
import stat
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from host.errors import ProgramError

__all__ = ["NotStartableError", "check_visible", "own_command", "own_files", "spell_command"]

# The folders that ProtectHome= and PrivateTmp= of the system's units hide.
_HIDDEN_FOLDERS: Final = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
# systemd starts no program whose path has one of these characters, however they are escaped (systemd 252).
_REFUSED: Final = frozenset("\"'\\")


class NotStartableError(ProgramError):
    """A unit that starts this program would not work."""

    exit_status = 5
    template = "the service could not start {subject}: {reason}"


def own_command() -> tuple[str, ...]:
    """Return the command that starts this program again, with absolute paths. Raises NotStartableError."""
    program = os.path.abspath(sys.argv[0])
    command: tuple[str, ...] = (program,)
    if os.path.basename(program) == "__main__.py":
        # python -m; -P keeps Python from importing a folder of the same name in the service's working directory.
        root = os.path.dirname(os.path.dirname(program))
        command = ("/usr/bin/env", f"PYTHONPATH={root}", sys.executable, "-P", "-m", "hmpshim", "proxy")
    elif os.path.abspath(__file__).startswith(f"{program}/"):
        # It is in an archive, hmpshim.pyz.
        command = (sys.executable, program, "proxy")
    if not os.path.isfile(program) or not all(word.isprintable() and not _REFUSED & set(word) for word in command):
        raise NotStartableError(ascii(program), "run hmp-proxy by a path that can be written into a unit")
    return command


def own_files() -> tuple[str, ...]:
    """Return the files that the command reads: the program, the interpreter, and the modules, if they are files."""
    return tuple({os.path.abspath(sys.argv[0]), sys.executable, *filter(os.path.exists, (__file__,))})


def spell_command(command: Sequence[str]) -> str:
    """Return a command as the Exec line of a unit spells it (systemd.service(5), "Command lines")."""
    program, *arguments = command
    # Variables are expanded in arguments only, not in the program's path.
    words = (program, *(word.replace("$", "$$") for word in arguments))
    return " ".join(f'"{word}"' if " " in word else word for word in words).replace("%", "%%")


def check_visible(paths: Iterable[str]) -> None:
    """Raise NotStartableError unless a system service, which is another user in a sandbox, can read all of these paths."""
    for path in map(os.path.realpath, paths):
        for folder in _HIDDEN_FOLDERS:
            if os.path.commonpath((path, folder)) == folder:
                reason = f"it sees nothing in {folder}; install hmpshim elsewhere, such as in /opt, or use --user, or --force"
                raise NotStartableError(path, reason)
        _check_open(path)


def _check_open(path: str) -> None:
    """Check the folders on the way, too. Only the permissions for others count: the service's user owns none of them."""
    wanted = stat.S_IROTH
    while True:
        if not os.stat(path).st_mode & wanted:
            raise NotStartableError(path, "only its owner or group may read it; chmod it, or use --user, or --force")
        parent, wanted = os.path.dirname(path), stat.S_IXOTH
        if parent == path:
            return
        path = parent

"""The sandbox of a unit of the system, made without a running systemd, from what the unit says.

A process is put into namespaces of its own (unshare(1)), where the mounts are made as ProtectSystem= and its like have systemd
make them, becomes another user without capabilities (setpriv(1)), and gets a filter of system calls, of the lists that
`systemd-analyze syscall-filter` prints. What is not made here is in no test: the folders of the unit, PrivateTmp= (the tests'
own files are there), PrivateDevices= and the limits of control groups.
"""

import ctypes
import ctypes.util
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from tests.integration.permissions.other_user import NOBODY
from tests.support.checkout import ROOT

__all__ = ["allowed_system_calls", "can_be_made", "in_sandbox"]

# What the unit's processes see of files and of others. $1: the only folder that can be written to.
_MOUNTS: Final = """
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro /
mount -t proc -o hidepid=invisible proc /proc
shift
exec "$@"
"""
# libseccomp's (seccomp.h).
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_NOT_EQUAL: Final = 1
_MASKED_EQUAL: Final = 7
_PROT_EXEC: Final = 4
_PROT_WRITE_EXEC: Final = 2 | _PROT_EXEC
_SHM_EXEC: Final = 0o100000
_AF_UNIX: Final = 1
# Arguments that are refused: a system call, which of its arguments, how it is compared, with what, and the error. The unit's
# MemoryDenyWriteExecute= and RestrictAddressFamilies= (src/shared/seccomp-util.c of systemd).
_RefusedArgument = tuple[str, int, int, int, int, int]
_REFUSED_ARGUMENTS: Final[dict[str, list[_RefusedArgument]]] = {
    "MemoryDenyWriteExecute=yes": [
        ("mmap", 2, _MASKED_EQUAL, _PROT_WRITE_EXEC, _PROT_WRITE_EXEC, errno.EPERM),
        ("mprotect", 2, _MASKED_EQUAL, _PROT_EXEC, _PROT_EXEC, errno.EPERM),
        ("pkey_mprotect", 2, _MASKED_EQUAL, _PROT_EXEC, _PROT_EXEC, errno.EPERM),
        ("shmat", 2, _MASKED_EQUAL, _SHM_EXEC, _SHM_EXEC, errno.EPERM),
    ],
    "RestrictAddressFamilies=AF_UNIX": [("socket", 0, _NOT_EQUAL, _AF_UNIX, 0, errno.EAFNOSUPPORT)],
}


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp`."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("datum_a", ctypes.c_uint64), ("datum_b", ctypes.c_uint64))


@cache
def can_be_made() -> bool:
    """Tell whether this machine lets us: root, not in a container that forbids mounts, and with systemd's lists."""
    if os.geteuid() != 0 or ctypes.util.find_library("seccomp") is None:
        return False
    try:
        subprocess.run(["systemd-analyze", "--version"], check=True, capture_output=True)
        subprocess.run(["unshare", "--mount", "--net", "mount", "-t", "proc", "proc", "/proc"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def in_sandbox(unit: Path, folder: Path, *command: str) -> tuple[str, ...]:
    """Return what runs a command as a service of the unit. folder: the only one that it can write to."""
    namespaces = ("unshare", "--mount", "--net", "sh", "-c", _MOUNTS, "sh", str(folder))
    dropped = ("--clear-groups", "--no-new-privs", "--bounding-set", "-all", "--inh-caps", "-all")
    user = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), *dropped)
    state = ("env", f"STATE_DIRECTORY={folder}")
    return (*namespaces, *user, *state, sys.executable, "-m", __name__, str(unit), *command)


def allowed_system_calls(unit: str) -> set[str]:
    """Return those that the SystemCallFilter= lines of a unit leave, one after the other (systemd.exec(5))."""
    allowed: set[str] = set()
    for line in unit.splitlines():
        if line.startswith("SystemCallFilter="):
            words = line.partition("=")[2]
            named = {call for word in words.removeprefix("~").split() for call in _calls(word)}
            allowed = allowed - named if words.startswith("~") else allowed | named
    # systemd's own are always let through ("@default"), so that a list can be short.
    return allowed | set(_calls("@default"))


def _calls(name: str) -> Iterator[str]:
    """Yield the system calls of a set, and of those in it."""
    if not name.startswith("@"):
        yield name
        return
    listed = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines()[1:]:
        if (word := line.strip()) and not word.startswith("#"):
            yield from _calls(word)


def _filter_system_calls(unit: str) -> None:
    """Let this process and what it becomes call only what the unit allows."""
    library = ctypes.CDLL(ctypes.util.find_library("seccomp"))
    library.seccomp_init.restype = ctypes.c_void_p
    # Two filters, of which the stricter decides (seccomp(2)). That of whole calls is the last: it allows no further one.
    of_arguments = ctypes.c_void_p(library.seccomp_init(_ALLOW))
    for name, argument, how, first, second, number in _refused_arguments(unit):
        comparison = _Comparison(argument, how, first, second)
        call = library.seccomp_syscall_resolve_name(name.encode())
        action = ctypes.c_uint32(_ERRNO | number)
        _check(library.seccomp_rule_add_array(of_arguments, action, call, 1, ctypes.byref(comparison)))
    of_calls = ctypes.c_void_p(library.seccomp_init(_ERRNO | errno.EPERM))
    for name in allowed_system_calls(unit):
        call = library.seccomp_syscall_resolve_name(name.encode())
        if call >= 0:  # one of this machine
            _check(library.seccomp_rule_add_array(of_calls, ctypes.c_uint32(_ALLOW), call, 0, None))
    _check(library.seccomp_load(of_arguments))
    _check(library.seccomp_load(of_calls))


def _refused_arguments(unit: str) -> list[_RefusedArgument]:
    lines = unit.splitlines()
    return [rule for directive, rules in _REFUSED_ARGUMENTS.items() if directive in lines for rule in rules]


def _check(result: int) -> None:
    if result != 0:
        raise OSError(-result, os.strerror(-result))


if __name__ == "__main__":
    os.chdir(ROOT)
    _filter_system_calls(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.execv(sys.argv[2], sys.argv[2:])

"""A folder that looks like /proc: processes with their command lines, and the unix sockets that the kernel knows."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["add_process", "set_parent", "write_sockets"]


def add_process(proc: Path, pid: int, *words: str, folder: Path | None = None, uids: Sequence[int] = ()) -> None:
    """Add a process. folder: its working directory; None where that is another user's, and cannot be read.

    uids: the real, effective, saved and file system user; () for our own.
    """
    (proc / str(pid)).mkdir(parents=True)
    users = "\t".join(map(str, uids or [os.geteuid()] * 4))
    (proc / str(pid) / "status").write_text(f"Name:\tprogram\nPid:\t{pid}\nUid:\t{users}\nGid:\t0\t0\t0\t0\n")
    (proc / str(pid) / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
    if folder is not None:
        (proc / str(pid) / "cwd").symlink_to(folder)


def write_sockets(proc: Path, sockets: Mapping[str, bool]) -> None:
    """Have somebody listen at these paths, each with a client or without; the lines are those of Linux 6.1."""
    lines = ["Num       RefCount Protocol Flags    Type St Inode Path", "ffff: 00000002 00000000 00000000 0002 01 22"]
    for path, has_client in sockets.items():
        lines.append(f"ffff: 00000002 00000000 00010000 0001 01 23 {path}")
        # A client that nobody has accepted has no inode.
        lines.append(f"ffff: 00000003 00000000 00000000 0001 03 {24 if has_client else 0} {path}")
    (proc / "net").mkdir(parents=True, exist_ok=True)
    (proc / "net" / "unix").write_text("\n".join(lines) + "\n")


def set_parent(proc: Path, pid: int, parent: int, *, started: int = 1) -> None:
    """Write a process's status: its parent, and when it began."""
    words = ["S", str(parent), *["0"] * 17, str(started), "0"]
    (proc / str(pid) / "stat").write_text(f"{pid} (a ) b) {' '.join(words)}\n")

"""The files that QEMU would see under a name, if QEMU is on this machine, or those that this program sees.

A QEMU on a unix socket is; where one on TCP is, nobody knows. A relative name begins in QEMU's own working directory, which
/proc shows for processes of the same user.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from host.net.addresses import TCPAddress, UnixAddress
from repl.completion_data import Named
from repl.finding.processes import PROC

__all__ = ["list_files", "list_own_files"]

_MOST_FILES: Final = 20_000


async def list_files(folder: str, address: UnixAddress | TCPAddress, pid: int | None, proc: Path = PROC) -> tuple[Named, ...]:
    """Return the names in a folder, each preceded by the folder, and followed by a slash if it is a folder itself.

    folder: up to its last slash, "" for QEMU's working directory. pid: QEMU's, None if unknown. A disk that does not answer
    blocks one thread and nothing else.
    """
    if isinstance(address, TCPAddress):
        return ()
    return await _in_thread(lambda: _look(folder, _path(folder, pid, proc)))


async def list_own_files(folder: str) -> tuple[Named, ...]:
    """Return the same for the files that this program sees: a relative name begins in its working directory, `~` in a home."""
    return await _in_thread(lambda: _look(folder, os.path.expanduser(folder)))


async def _in_thread(look: Callable[[], tuple[Named, ...]]) -> tuple[Named, ...]:
    loop = asyncio.get_running_loop()
    found: asyncio.Future[tuple[Named, ...]] = loop.create_future()

    def tell(names: tuple[Named, ...]) -> None:
        if not found.done():
            found.set_result(names)

    def run() -> None:
        names = look()
        with contextlib.suppress(RuntimeError):  # the loop is closed: the program has ended meanwhile
            loop.call_soon_threadsafe(tell, names)

    # Not one of the loop's executor threads: the program would wait for those when it ends.
    threading.Thread(target=run, name="hmpshim-files", daemon=True).start()
    return await found


def _path(folder: str, pid: int | None, proc: Path) -> str | None:
    """Return the path of the folder as QEMU sees it; None if its working directory is not known."""
    start = "/" if folder.startswith("/") else _working_directory(pid, proc)
    return None if start is None else os.path.join(start, folder)


def _look(folder: str, path: str | None) -> tuple[Named, ...]:
    """Return what is in the folder. path: where it is, "" for this program's working directory, None if unknown."""
    if path is None:
        return ()
    try:
        with os.scandir(path or ".") as entries:
            return tuple(sorted(_named(folder, islice(entries, _MOST_FILES)), key=lambda one: one.name))
    except (OSError, ValueError):
        return ()


def _named(folder: str, entries: Iterator[os.DirEntry[str]]) -> Iterator[Named]:
    for entry in entries:
        is_folder = entry.is_dir()
        yield Named(folder + entry.name + "/" * is_folder, "folder" if is_folder else "")


def _working_directory(pid: int | None, proc: Path) -> str | None:
    if pid is None:
        return None
    try:
        return os.readlink(proc / str(pid) / "cwd")
    except OSError:  # another user's process
        return None

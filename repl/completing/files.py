"""The files that QEMU would see under a name, as far as they are on this machine.

A QEMU behind a unix socket is here; of one behind TCP nobody knows where it is. A relative name begins in QEMU's own working
directory, which /proc tells of a process of the same user.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from host.net.addresses import TCPAddress, UnixAddress
from repl.completion_data import Named
from repl.finding.processes import PROC

__all__ = ["list_files"]

_MOST_FILES: Final = 20_000


async def list_files(folder: str, address: UnixAddress | TCPAddress, pid: int | None, proc: Path = PROC) -> tuple[Named, ...]:
    """Return the names of a folder's files, each with the folder before it, and a slash after a folder's own name.

    folder: up to its last slash, "" for QEMU's working directory. pid: QEMU's, None where that is not known.
    A disk that does not answer holds a thread and nothing else.
    """
    if isinstance(address, TCPAddress):
        return ()
    loop = asyncio.get_running_loop()
    found: asyncio.Future[tuple[Named, ...]] = loop.create_future()

    def tell(names: tuple[Named, ...]) -> None:
        if not found.done():
            found.set_result(names)

    def look() -> None:
        names = _look(folder, pid, proc)
        with contextlib.suppress(RuntimeError):  # the program has ended meanwhile
            loop.call_soon_threadsafe(tell, names)

    # Not one of the loop's own threads: the program would wait for those at its end.
    threading.Thread(target=look, name="hmpshim-files", daemon=True).start()
    return await found


def _look(folder: str, pid: int | None, proc: Path) -> tuple[Named, ...]:
    start = "/" if folder.startswith("/") else _working_directory(pid, proc)
    if start is None:
        return ()
    try:
        with os.scandir(os.path.join(start, folder)) as entries:
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
    except OSError:  # it is another user's
        return None

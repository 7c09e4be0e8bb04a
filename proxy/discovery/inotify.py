"""The kernel's notice that something in a folder has changed (inotify(7)), which Python's standard library does not offer.

It only hints that a look is due, and its contents are ignored: the look shows the facts, even after hints that were lost (the
queue overflows) or that never come. None come for what another host does on NFS, for a file system that is mounted over a
watched folder, which is how a bind mount appears in a container, and on some overlays. So discovery.py looks now and then
without a hint as well. Looks alone, often enough to be prompt, would cost a host with 1,000 folders half a per cent of a core
all day, for nothing.
"""

import asyncio
import contextlib
import ctypes
import errno
import os
from collections.abc import Callable, Set
from typing import Final

__all__ = ["Inotify"]

# inotify(7) and include/uapi/linux/inotify.h.
_MOVED: Final = 0x40 | 0x80
_CREATED_OR_DELETED: Final = 0x100 | 0x200
_SELF_DELETED_OR_MOVED: Final = 0x400 | 0x800
_ONLY_FOLDERS: Final = 0x01000000
_MASK: Final = _MOVED | _CREATED_OR_DELETED | _SELF_DELETED_OR_MOVED | _ONLY_FOLDERS
_READ_BYTES: Final = 1 << 16


class Inotify:
    """Watch folders. The constructor raises OSError if that is not possible: a sandbox, or fs.inotify.max_user_instances.

    Call `start` in the loop, `watch` for each folder and then `keep`, from any thread, one at a time; `close` at the end.
    on_change: called in the loop when something has changed.
    """

    def __init__(self, on_change: Callable[[], object]) -> None:
        self._on_change = on_change
        try:
            self._library = ctypes.CDLL(None, use_errno=True)
            self._fd = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except AttributeError as exc:
            raise OSError(str(exc)) from exc
        if self._fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self._watches: dict[str, int] = {}

    def start(self) -> None:
        """Listen to the kernel."""
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def watch(self, folder: str) -> bool:
        """Watch a folder. Return False if the limit is reached (fs.inotify.max_user_watches); other failures do not matter."""
        number = self._library.inotify_add_watch(self._fd, os.fsencode(folder), _MASK)
        if number < 0:
            self._watches.pop(folder, None)
            return ctypes.get_errno() != errno.ENOSPC
        self._watches[folder] = number
        return True

    def keep(self, folders: Set[str]) -> None:
        """Stop watching all folders except these."""
        gone = {folder: self._watches.pop(folder) for folder in self._watches.keys() - folders}
        for number in set(gone.values()).difference(self._watches.values()):
            # The kernel stops watching a folder that was removed, and then this does nothing.
            self._library.inotify_rm_watch(self._fd, number)

    def close(self) -> None:
        """Stop watching."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, _READ_BYTES)
        self._on_change()

"""The kernel's hints that something in a folder has changed."""

import asyncio
import ctypes
import os
from pathlib import Path
from typing import Any

import pytest

from proxy.discovery.inotify import Inotify
from tests.support.proxy.running_vm_proxy import until


def test_changes_are_told_of_in_watched_folders_only(tmp_path: Path) -> None:
    hints: list[None] = []

    async def run() -> None:
        inotify = Inotify(lambda: hints.append(None))
        inotify.start()
        (tmp_path / "watched").mkdir()
        (tmp_path / "other").mkdir()
        assert inotify.watch(str(tmp_path / "watched"))
        assert inotify.watch(str(tmp_path / "watched"))
        assert inotify.watch(str(tmp_path / "other"))
        assert inotify.watch(str(tmp_path / "none"))
        inotify.keep({str(tmp_path / "watched")})
        (tmp_path / "other/a").touch()
        for change in ((tmp_path / "watched/a").touch, (tmp_path / "watched/a").unlink, (tmp_path / "watched").rmdir):
            hints.clear()
            change()
            await until(lambda: hints)
        inotify.keep(set())
        inotify.close()

    asyncio.run(run())
    assert hints


def test_it_is_closed_without_a_loop_too(tmp_path: Path) -> None:
    async def run() -> Inotify:
        inotify = Inotify(lambda: None)
        inotify.start()
        inotify._read()
        asyncio.get_running_loop().remove_reader(inotify._fd)
        return inotify

    asyncio.run(run()).close()


class _Library:
    """inotify(7), as it answers on a host where it is not to be had."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.fd = os.open(os.devnull, os.O_RDONLY)

    def inotify_init1(self, flags: int) -> int:
        if not self._number:
            return self.fd
        ctypes.set_errno(self._number)
        return -1

    def inotify_add_watch(self, fd: int, folder: bytes, mask: int) -> int:
        ctypes.set_errno(28)
        return -1


def test_what_is_not_to_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    library: Any = _Library(24)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library)
    with pytest.raises(OSError, match="Too many open files"):
        Inotify(lambda: None)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    with pytest.raises(OSError, match="inotify_init1"):
        Inotify(lambda: None)
    os.close(library.fd)


def test_no_more_folders_can_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: _Library(0))
    inotify = Inotify(lambda: None)
    assert not inotify.watch("/")
    inotify.close()

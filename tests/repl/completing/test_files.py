"""Files where QEMU would look for them."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from host.net.addresses import TCPAddress, UnixAddress
from repl.completing import files
from repl.completing.files import list_files, list_own_files
from repl.completion_data import Named

SOCKET = UnixAddress("/run/vm1/qmp.sock")


def listed(folder: str, pid: int | None = None, proc: Path = Path("/nowhere")) -> list[Named]:
    return list(asyncio.run(list_files(folder, SOCKET, pid, proc)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b.img").touch()
    (tmp_path / ".a").touch()
    (tmp_path / "sub").mkdir()
    return tmp_path


def test_files_and_folders_with_the_folder_before_them(folder: Path) -> None:
    assert listed(f"{folder}/") == [Named(f"{folder}/.a", ""), Named(f"{folder}/b.img", ""), Named(f"{folder}/sub/", "folder")]


@pytest.mark.parametrize("name", ["nosuch/", "b.img/", "a\0b/"])
def test_what_is_no_folder_has_no_files(folder: Path, name: str) -> None:
    assert listed(f"{folder}/{name}") == []


def test_own_files_begin_in_the_working_directory_and_at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder / "sub"))
    (folder / "sub" / "kept").touch()
    assert [one.name for one in asyncio.run(list_own_files(""))] == [".a", "b.img", "sub/"]
    assert [one.name for one in asyncio.run(list_own_files("sub/"))] == ["sub/kept"]
    assert [one.name for one in asyncio.run(list_own_files("~/"))] == ["~/kept"]
    assert asyncio.run(list_own_files("nosuch/")) == ()


def test_qemu_behind_tcp_is_elsewhere(folder: Path) -> None:
    assert asyncio.run(list_files(f"{folder}/", TCPAddress("localhost", 4444), None)) == ()


def test_relative_name_begins_where_qemu_works(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    proc = tmp_path_factory.mktemp("proc")
    (proc / "17").mkdir()
    (proc / "17" / "cwd").symlink_to(folder)
    assert [one.name for one in listed("", 17, proc)] == [".a", "b.img", "sub/"]
    assert [one.name for one in listed("sub/../", 17, proc)] == ["sub/../.a", "sub/../b.img", "sub/../sub/"]


@pytest.mark.parametrize("pid", [None, 17])
def test_where_qemu_works_may_not_be_known(pid: int | None, tmp_path: Path) -> None:
    assert listed("", pid, tmp_path) == []


def test_long_list_is_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_MOST_FILES", 2)
    assert len(listed(f"{folder}/")) == 2


def test_disk_that_does_not_answer_is_waited_for_by_nobody(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks can be given up, and what comes then is nobody's."""
    answers, started = threading.Event(), threading.Event()

    def hang(path: str) -> None:
        started.set()
        answers.wait()
        raise OSError

    monkeypatch.setattr(os, "scandir", hang)

    async def give_up() -> None:
        looking = asyncio.ensure_future(list_files(f"{folder}/", SOCKET, None))
        await asyncio.to_thread(started.wait)
        looking.cancel()
        await asyncio.wait([looking])
        assert looking.cancelled()
        thread = next(one for one in threading.enumerate() if one.name == "hmpshim-files")
        answers.set()
        await asyncio.to_thread(thread.join)
        await asyncio.sleep(0)

    asyncio.run(give_up())


def test_program_that_has_ended_hears_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, started = threading.Event(), threading.Event()

    def hang(path: str) -> None:
        started.set()
        answers.wait()
        raise OSError

    monkeypatch.setattr(os, "scandir", hang)

    async def leave() -> threading.Thread:
        looking = asyncio.ensure_future(list_files(f"{folder}/", SOCKET, None))
        await asyncio.to_thread(started.wait)
        looking.cancel()
        await asyncio.wait([looking])
        return next(one for one in threading.enumerate() if one.name == "hmpshim-files")

    thread = asyncio.run(leave())
    answers.set()
    thread.join()

"""VMs come and go with their sockets, in a daemon before modelled QEMUs."""

import asyncio
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from host.settings.config import VMConfig
from proxy.control.status import PatternStatus, State
from proxy.discovery import discovery, inotify
from proxy.discovery.sockets import Sockets
from proxy.net.sockets import is_answered
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import RunningDaemon, hmp, run, statuses, table, until
from tests.support.proxy.running_vm_proxy import bound
from tests.support.raw_client import RawClient


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unix socket paths end at 107 bytes (unix(7)), so not pytest's tmp_path."""
    with tempfile.TemporaryDirectory(prefix="i", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def _short_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody waits long for one that has gone to be let go."""
    monkeypatch.setattr("proxy.discovery.sockets.GONE_AFTER_S", 0.2)


def template(folder: Path, *lines: str, pattern: str = "v/*/q") -> str:
    usual = ('upstream = "unix:{path}"', f'listen = "unix:{folder}/{{1}}"')
    return "\n".join(["[[vm]]", f'discover = "{folder}/{pattern}"', 'name = "{1}"', *(lines or usual)]) + "\n"


def names(running: RunningDaemon, state: State = State.SERVED) -> list[str]:
    return [vm.name for vm in statuses(running.daemon._fleet) if vm.state is state]


def qemu(folder: Path, name: str) -> FakeQEMU:
    (folder / "v" / name).mkdir(parents=True, exist_ok=True)
    return FakeQEMU(two_disks(), path=f"{folder}/v/{name}/q")


def test_vms_come_and_go_with_their_sockets(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Others notice nothing, and those of the file are there all the time."""

    async def main() -> None:
        async with (
            FakeQEMU(two_disks()) as other,
            RunningDaemon(folder, table(other, folder / "s"), template(folder)) as running,
        ):
            with await asyncio.to_thread(RawClient.connect, folder / "s") as client:
                await asyncio.to_thread(client.negotiate)
                await until(lambda: running.daemon._patterns() == [PatternStatus(f"{folder}/v/*/q", 0)])
                first, second = qemu(folder, "a"), qemu(folder, "b")
                async with first:
                    await until(lambda: names(running) == ["a", "s"])
                    async with second:
                        await until(lambda: names(running) == ["a", "b", "s"])
                        assert await hmp(folder / "b", "savevm t") == [""]
                        assert running.daemon._patterns() == [PatternStatus(f"{folder}/v/*/q", 2)]
                    (folder / "v/b/q").unlink()
                    await until(lambda: "not served any more, its socket has gone" in caplog.messages)
                    await until(lambda: len(statuses(running.daemon._fleet)) == 2 and not os.path.exists(folder / "b"))
                    assert await running.daemon.reload() == []
                    assert names(running) == ["a", "s"]
                assert await asyncio.to_thread(client.hmp, "savevm t") == ""
        assert "served from now on" in caplog.messages

    run(main)


def test_before_the_first_look_ends_it_is_told_what_is_looked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder may be on a disk that hangs."""
    hangs, look = threading.Event(), Sockets.look

    def hang(*args: Any) -> list[VMConfig]:
        hangs.wait()
        return look(*args)

    async def main() -> None:
        pattern = f"{folder}/v/*/q"
        async with (
            FakeQEMU(two_disks()) as other,
            RunningDaemon(folder, table(other, folder / "s"), template(folder)) as running,
        ):
            try:
                assert running.daemon._patterns() == [PatternStatus(pattern, 0, ("the first look for sockets has not ended",))]
            finally:
                hangs.set()
            await until(lambda: running.daemon._patterns() == [PatternStatus(pattern, 0)])

    monkeypatch.setattr(Sockets, "look", hang)
    run(main)


def test_socket_that_is_taken_over_comes_and_goes(folder: Path) -> None:
    """Where it was, nothing is left when QEMU has gone, and the next QEMU is found again."""

    async def main() -> None:
        async with RunningDaemon(folder, template(folder, 'take_over = "{path}"')) as running:
            for _ in range(2):
                async with qemu(folder, "a"):
                    await until(lambda: names(running) == ["a"])
                    assert await hmp(folder / "v/a/q", "savevm t") == [""]
                    assert sorted(os.listdir(folder / "v/a")) == ["q", "q.hmpshim"]
                await until(lambda: statuses(running.daemon._fleet) == [] and os.listdir(folder / "v/a") == [])

    run(main)


def test_path_that_holds_is_let_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there after QEMU, and no hint tells that QEMU has gone."""
    monkeypatch.setattr(discovery, "_HINTED_EVERY_S", 0.1)

    async def main() -> None:
        async with RunningDaemon(folder, template(folder, 'take_over = "hold:{path}"')) as running:
            async with qemu(folder, "a"):
                await until(lambda: names(running) == ["a"])
            await until(lambda: statuses(running.daemon._fleet) == [] and os.listdir(folder / "v/a") == [])

    run(main)


def test_socket_that_a_killed_qemu_has_left_is_a_vm_that_is_waited_for(folder: Path) -> None:
    async def main() -> None:
        (folder / "v/a").mkdir(parents=True)
        with bound(folder / "v/a/q"):
            async with RunningDaemon(folder, template(folder)) as running:
                await until(lambda: names(running, State.WAITED_FOR) == ["a"])
                async with qemu(folder, "a"):
                    await until(lambda: names(running) == ["a"])

    run(main)


def test_one_that_flaps_is_looked_for_now_and_then(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    original = Sockets.look

    def look(sockets: Sockets, *arguments: object) -> object:
        looks.append(arguments[-1])  # type: ignore[arg-type]
        return original(sockets, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Sockets, "look", look)
    monkeypatch.setattr("proxy.discovery.sockets.GONE_AFTER_S", 3.0)

    async def main() -> None:
        (folder / "v/a").mkdir(parents=True)
        async with RunningDaemon(folder, template(folder)) as running:
            await until(lambda: looks)
            path = folder / "v/a/q"
            while len(looks) < 5:
                with bound(path):
                    await asyncio.sleep(0)
                path.unlink()
            assert names(running, State.WAITED_FOR) in ([], ["a"])

    run(main)
    assert all(later - earlier >= 0.1 for earlier, later in pairwise(looks))


def test_without_hints_it_is_looked_for_more_often(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(on_change: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(inotify, "Inotify", refuse)
    monkeypatch.setattr(discovery, "_UNHINTED_EVERY_S", 0.05)

    async def main() -> None:
        async with RunningDaemon(folder, template(folder)) as running:
            await until(lambda: running.daemon._patterns())
            async with qemu(folder, "a"):
                await until(lambda: names(running) == ["a"])

    run(main)
    assert "the kernel does not report new ones: [Errno 24] Too many open files" in caplog.text


def test_look_that_fails_is_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original, failures = Sockets.look, iter([1])

    def look(sockets: Sockets, *arguments: object) -> object:
        if next(failures, None):
            raise RuntimeError("a fault of ours")
        return original(sockets, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Sockets, "look", look)

    async def main() -> None:
        async with RunningDaemon(folder, template(folder)) as running:
            await until(lambda: "cannot look for sockets" in caplog.text)
            async with qemu(folder, "a"):
                await until(lambda: names(running) == ["a"])

    run(main)
    assert caplog.text.count("Traceback") == 1


def test_vm_that_ends_with_its_qemu_is_begun_again_with_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.discovery.sockets.GONE_AFTER_S", 60.0)
    lines = 'upstream = "unix:{path}"', f'listen = "unix:{folder}/{{1}}"', "end_with_vm = true"

    async def main() -> None:
        async with RunningDaemon(folder, template(folder, *lines)) as running:
            async with qemu(folder, "a"):
                await until(lambda: names(running) == ["a"])
            await until(lambda: statuses(running.daemon._fleet) == [])
            async with qemu(folder, "a"):
                await until(lambda: names(running) == ["a"] and is_answered(str(folder / "a")))

    run(main)


def test_file_may_begin_and_end_to_look_for_vms(folder: Path) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            other = await stack.enter_async_context(FakeQEMU(two_disks()))
            await stack.enter_async_context(qemu(folder, "a"))
            static = table(other, folder / "s")
            running = await stack.enter_async_context(RunningDaemon(folder, static))
            for text, served in ((static + template(folder), ["a", "s"]), (static, ["s"]), (template(folder), ["a"])):
                running.path.write_text(text)
                assert await running.daemon.reload() == []
                await until(lambda: names(running) == served)  # noqa: B023
            running.path.write_text(template(folder, pattern="none*/q"))
            assert await running.daemon.reload() == []
            await until(lambda: statuses(running.daemon._fleet) == [])
            assert not running.task.done()
            # There is nobody, and now somebody who is in the file.
            running.path.write_text(static)
            assert await running.daemon.reload() == []
            await until(lambda: names(running) == ["s"])

    run(main)

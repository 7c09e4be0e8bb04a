"""Daemons one after the other, as a service manager starts them, with all that belongs to the process.

test_replacing.py has two at a time.
"""

import asyncio
import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.entrance import inherited
from proxy.errors import ListenError
from proxy.handover.meeting import meet
from proxy.handover.storing import Storing
from proxy.process.handing_over import LEFT
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.fake_service_manager import FakeServiceManager
from tests.support.processes.running_daemon import RunningDaemon, hmp, run, table, until
from tests.support.proxy.asked_sockets import short_folder, told
from tests.support.raw_client import RawClient


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture
def manager(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServiceManager]:
    with FakeServiceManager(folder / "n") as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
        yield manager


@pytest.fixture
def passed(manager: FakeServiceManager, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What has the next process find what the manager keeps."""

    def pass_on() -> None:
        kept = manager.passed()
        first = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 500)  # far from all others
        os.close(first)
        for place, number in enumerate(kept.values()):
            os.dup2(number, first + place, inheritable=False)
            os.close(number)
        monkeypatch.setattr(inherited, "_SYSTEMD_FIRST_FD", first)
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", str(len(kept)))
        monkeypatch.setenv("LISTEN_FDNAMES", ":".join(kept))

    return pass_on


async def upgrade(folder: Path, **members: Any) -> Any:
    return await told(folder / "admin", "upgrade", **members)


async def client(folder: Path) -> RawClient:
    client = await asyncio.to_thread(RawClient.connect, folder / "a")
    await asyncio.to_thread(client.negotiate)
    return client


async def begun(folder: Path, text: str, *options: str) -> RunningDaemon:
    daemon = RunningDaemon(folder, text, options=["--admin", str(folder / "admin"), *options])
    return await daemon.__aenter__()


async def left(folder: Path, daemon: RunningDaemon) -> None:
    """Have a daemon leave its VMs, and see it end."""
    assert await upgrade(folder, formats=[2]) == {"pid": os.getpid(), "why_not": {}}
    await until(daemon.task.done)
    await daemon.task
    assert daemon.daemon.exit_status == LEFT


def test_daemons_one_after_the_other(folder: Path, manager: FakeServiceManager, passed: Any) -> None:
    """The manager hears that the next one is ready, and not that one ends."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            text = table(qemu, folder / "a", f'audit = "{folder}/log"')
            daemon = await begun(folder, text)
            with await client(folder) as tool:
                for _ in range(2):
                    await until(lambda: ["READY=1", "STATUS=VMs served: 1"] in manager.told)
                    await left(folder, daemon)
                    assert manager.told == [["READY=1", "STATUS=VMs served: 1"]]
                    manager.told.clear()
                    passed()
                    daemon = await begun(folder, text)
                    assert await asyncio.to_thread(tool.hmp, "savevm t") == ""
                    await until(lambda: manager.names == [])
            assert await hmp(folder / "a", "savevm t") == [""]
            await daemon.__aexit__(None, None, None)
            assert daemon.daemon.exit_status == 0
        assert qemu.client_count == 1

    run(main)
    assert sorted(path.name for path in folder.iterdir()) == ["hmpshim.toml", "log", "n"]


def test_vms_that_come_by_themselves_are_found_again(folder: Path, manager: FakeServiceManager, passed: Any) -> None:
    async def main() -> None:
        (folder / "v").mkdir()
        async with FakeQEMU(two_disks(), path=f"{folder}/v/q"):
            keys = {"discover": f"{folder}/*/q", "name": "{1}", "upstream": "unix:{path}", "listen": f"unix:{folder}/a{{1}}"}
            text = "[[vm]]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items())
            daemon = await begun(folder, text)
            await until((folder / "av").exists)
            (folder / "av").rename(folder / "a")
            with await client(folder) as tool:
                (folder / "a").rename(folder / "av")
                await left(folder, daemon)
                passed()
                daemon = await begun(folder, text)
                assert await asyncio.to_thread(tool.hmp, "savevm t") == ""
            await daemon.__aexit__(None, None, None)

    run(main)


def test_without_a_service_manager_it_is_refused(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            daemon = await begun(folder, table(qemu, folder / "a"))
            assert await upgrade(folder) == "no service manager has started it (NOTIFY_SOCKET)"
            assert await hmp(folder / "a", "savevm t") == [""]
            await daemon.__aexit__(None, None, None)

    run(main)
    assert "no service manager has started it (NOTIFY_SOCKET); all VMs are served as before" in caplog.messages


def test_vms_that_prevent_it_are_told(folder: Path, manager: FakeServiceManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also to whoever reads the log, and the file can be read again afterwards."""

    async def main() -> None:
        monkeypatch.setattr(Storing, "_why_never", lambda _: {"a": "it is not to be"})
        async with FakeQEMU(two_disks()) as qemu:
            daemon = await begun(folder, table(qemu, folder / "a"))
            assert await upgrade(folder) == {"pid": os.getpid(), "why_not": {"a": "it is not to be"}}
            assert await told(folder / "admin", "reload") == []
            assert await hmp(folder / "a", "savevm t") == [""]
            await daemon.__aexit__(None, None, None)

    run(main)


def test_only_one_takes_over_at_a_time(folder: Path, manager: FakeServiceManager, monkeypatch: pytest.MonkeyPatch) -> None:
    going = asyncio.Event()

    async def wait(*_: Any) -> None:
        going.set()
        await asyncio.Event().wait()

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            daemon = await begun(folder, table(qemu, folder / "a"), "--replaceable", str(folder / "m"))
            channel = await meet(str(folder / "m"))
            await channel.send({"formats": [2], "version": "9"})
            await channel.receive()
            assert await upgrade(folder) == "another process takes over, and reads the configuration"
            channel.close()
            await until(lambda: daemon.daemon._fleet.successor is None)
            monkeypatch.setattr(Storing, "_keep_trial", wait)
            asking = asyncio.create_task(upgrade(folder))
            await going.wait()
            channel = await meet(str(folder / "m"))
            leaving = "it is leaving its VMs to its service manager, which starts it anew (hmp-proxy upgrade)"
            assert await channel.receive() == ({"refused": leaving}, [])
            channel.close()
            await daemon.__aexit__(None, None, None)
            await asyncio.wait((asking,))  # the process ends, and there is no answer
            assert asking.exception() is not None

    run(main)


def test_process_that_is_about_to_end_does_not_begin_with_it(
    folder: Path, manager: FakeServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            daemon = await begun(folder, table(qemu, folder / "a"))
            async with daemon.daemon._reading:
                asking = asyncio.create_task(upgrade(folder))
                await until(lambda: daemon.daemon._reading._waiters)
                daemon.daemon._is_stopping = True
            assert await asking == "the proxy is about to end"
            daemon.daemon._is_stopping = False
            await daemon.__aexit__(None, None, None)

    run(main)


def test_process_that_fails_leaves_the_vms_for_the_next(folder: Path, manager: FakeServiceManager, passed: Any) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            text = table(qemu, folder / "a")
            daemon = await begun(folder, text)
            with await client(folder) as tool:
                await left(folder, daemon)
                passed()
                (folder / "admin").write_text("")
                failing = await begun(folder, text)  # somebody listens at the VM's socket anyway
                with pytest.raises(ListenError):
                    await failing.task
                (folder / "admin").unlink()
                passed()
                daemon = await begun(folder, text)
                assert await asyncio.to_thread(tool.hmp, "savevm t") == ""
                await daemon.__aexit__(None, None, None)

    run(main)


def test_process_that_is_stopped_ends_what_it_has_not_begun_with(
    folder: Path, manager: FakeServiceManager, passed: Any
) -> None:
    """Its log cannot be opened, so the VM waits where it is."""

    async def main() -> None:
        (folder / "logs").mkdir()
        async with FakeQEMU(two_disks()) as qemu:
            text = table(qemu, folder / "a", f'audit = "{folder}/logs/log"')
            daemon = await begun(folder, text)
            with await client(folder) as tool:
                await left(folder, daemon)
                passed()
                (folder / "logs").rename(folder / "moved")
                options = ["--admin", str(folder / "admin")]
                async with RunningDaemon(folder, text, absent=["a"], options=options) as next_one:
                    await until(lambda: [vm.problem for vm in next_one.status() if vm.problem])
                    assert len(manager.names) == 1
                    os.kill(os.getpid(), signal.SIGTERM)
                    await until(next_one.task.done)
                assert await asyncio.to_thread(tool.expect_eof) == b""
                await until(lambda: manager.names == [])
                assert not (folder / "a").exists()

    run(main)

"""What a service manager hears of the process (sd_notify(3)), at a socket of the test's own."""

import asyncio
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.fleet.service_manager import ServiceManager
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.fake_service_manager import FakeServiceManager
from tests.support.processes.running_daemon import RunningDaemon, run, table, until
from tests.support.raw_client import DEADLINE_S


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unix socket paths end at 107 bytes (unix(7)), so not pytest's tmp_path."""
    path = Path(tempfile.mkdtemp(prefix="n", dir="/tmp"))
    yield path
    shutil.rmtree(path)


class Manager:
    """A service manager's end."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(DEADLINE_S)

    def __enter__(self) -> "Manager":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def heard(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_messages_are_datagrams(folder: Path, kind: str) -> None:
    name = str(folder / "n") if kind == "path" else f"@hmpshim-test-{os.getpid()}"
    with Manager(name.replace("@", "\0", 1)) as there:
        manager = ServiceManager({"NOTIFY_SOCKET": name})
        before = time.monotonic_ns() // 1000
        manager.ready("VMs served: 2")
        manager.reloading()
        manager.stopping()
        manager.main_process(None)
        manager.main_process(7)
        manager.close()
        assert there.heard() == ["READY=1", "STATUS=VMs served: 2"]
        reloading, when = there.heard()
        assert reloading == "RELOADING=1"
        assert before <= int(when.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
        assert there.heard()[0] == "STOPPING=1"
        assert there.heard() == ["MAINPID=7"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/none/n"}])
def test_nobody_need_be_there(environment: dict[str, str]) -> None:
    manager = ServiceManager(environment)
    manager.ready("x")
    manager.close()


@pytest.mark.parametrize(
    ("limit", "of", "wanted"),
    [("20000", "any", True), ("20000", "own", True), ("20000", "other", False), ("0", "any", False), ("soon", "any", False)],
)
def test_sign_of_life_is_given_where_it_is_wanted(folder: Path, limit: str, of: str, wanted: bool) -> None:
    environment = {"NOTIFY_SOCKET": str(folder / "n"), "WATCHDOG_USEC": limit}
    environment |= {} if of == "any" else {"WATCHDOG_PID": str(os.getpid() + (of == "other"))}

    async def main() -> None:
        manager = ServiceManager(environment)
        manager.keep_watchdog()
        for _ in range(3 * wanted):
            assert await asyncio.to_thread(there.heard) == ["WATCHDOG=1"]
        manager.close()
        manager.ready("end")

    with Manager(str(folder / "n")) as there:
        asyncio.run(main())


def test_daemon_tells_how_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "n"))

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            tables = table(qemu, folder / "a"), table("/none", folder / "b")
            async with RunningDaemon(folder, *tables, absent=["b"]):
                assert await asyncio.to_thread(there.heard) == ["READY=1", "STATUS=VMs served: 1, waited for: 1"]
                os.kill(os.getpid(), signal.SIGHUP)
                assert (await asyncio.to_thread(there.heard))[0] == "RELOADING=1"
                assert await asyncio.to_thread(there.heard) == ["READY=1", "STATUS=VMs served: 1, waited for: 1"]
            assert (await asyncio.to_thread(there.heard))[0] == "STOPPING=1"

    with Manager(str(folder / "n")) as there:
        run(main)


@pytest.mark.parametrize("trouble", ["no log", "nobody there"])
def test_process_is_ready_though_no_vm_is(folder: Path, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "n"))
    line = [f'audit = "{folder}/none/log"'] if trouble == "no log" else []

    async def main() -> None:
        async with RunningDaemon(folder, table("/none", folder / "a", *line), absent=["a"]):
            assert await asyncio.to_thread(there.heard) == ["READY=1", "STATUS=VMs served: 0, waited for: 1"]

    with Manager(str(folder / "n")) as there:
        run(main)


def test_process_that_ends_before_it_is_ready_is_never_ready(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "n"))

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            qemu.hold("qmp_capabilities")
            async with RunningDaemon(folder, table(qemu, folder / "a"), absent=["a"]) as running:
                await qemu.reached("qmp_capabilities")
                os.kill(os.getpid(), signal.SIGTERM)
                await until(running.task.done)
            qemu.release()

    with Manager(str(folder / "n")) as there:
        run(main)
        assert there.heard()[0] == "STOPPING=1"
        there.socket.settimeout(0)
        with pytest.raises(BlockingIOError):
            there.heard()


def test_descriptors_are_kept_and_let_go_of(folder: Path) -> None:
    """What is told is done when the barrier is over."""

    async def main() -> None:
        manager = ServiceManager(there.environment)
        assert manager.is_there
        ours, theirs = socket.socketpair()
        with ours, theirs:
            await manager.store("one", theirs.fileno())
            await manager.store("two", ours.fileno())
            await manager.has_heard()
            assert there.names == ["one", "two"]
            await manager.discard("one")
            await manager.has_heard()
            assert there.names == ["two"]
        manager.close()

    with FakeServiceManager(folder / "n") as there:
        run(main)


def test_descriptor_waits_until_there_is_room_for_its_message(folder: Path) -> None:
    async def main() -> None:
        manager = ServiceManager({"NOTIFY_SOCKET": str(folder / "n")})
        for _ in range(1000):  # net.unix.max_dgram_qlen is 10 to 512
            manager.ready("x")
        storing = asyncio.create_task(manager.store("one", 0))
        for _ in range(9):
            await asyncio.sleep(0)
        assert not storing.done()
        while (heard := await asyncio.to_thread(there.heard))[0] == "READY=1":
            pass
        assert heard == ["FDSTORE=1", "FDNAME=one", "FDPOLL=0"]
        await storing
        manager.close()

    with Manager(str(folder / "n")) as there:
        run(main)


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/none/n"}])
def test_descriptors_need_somebody_who_keeps_them(environment: dict[str, str]) -> None:
    async def main() -> None:
        manager = ServiceManager(environment)
        assert manager.is_there is bool(environment)
        with pytest.raises(OSError, match="not connected"):
            await manager.store("one", 0)
        with pytest.raises(OSError, match="not connected"):
            await manager.has_heard()
        manager.close()

    run(main)

"""While QEMU is away: nobody listens, or clients wait; and who waits for what at the start."""

import asyncio
import contextlib
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from host.net.addresses import AcceptAddress, UnixAddress
from host.settings.config import VMConfig
from proxy.command_line.invocations import ServeInvocation
from proxy.command_line.subcommands import parse_command_line
from proxy.errors import AttachError
from proxy.fleet.fleet import Fleet
from proxy.net import qmp_connection
from proxy.process.daemon import Daemon
from tests.fakes.attachable_qemu import AttachableQEMU
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import statuses
from tests.support.proxy.running_vm_proxy import in_thread, proxy_ends, talk, until
from tests.support.raw_client import DEADLINE_S, RawClient


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="w", dir="/tmp") as name:
        yield Path(name)


@contextlib.asynccontextmanager
async def daemon(*arguments: str) -> AsyncIterator[asyncio.Task[None]]:
    """Run a Daemon in this loop, to be ended by a signal if it has not ended."""
    invocation = parse_command_line(arguments)
    assert isinstance(invocation, ServeInvocation)
    task = asyncio.create_task(Daemon(invocation).run(), name="Daemon")
    try:
        yield task
    finally:
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S):
            await task


async def waiting_saves(waiting: RawClient) -> str:
    """Be served as one that came while QEMU was away."""

    def converse() -> str:
        with waiting:
            waiting.negotiate()
            return waiting.hmp("savevm t")

    return await in_thread(converse)


def test_client_waits_where_the_address_holds(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also before QEMU is there for the first time; at the other address nobody listens then."""
    path, held, closed = (str(folder / name) for name in ("q", "held", "closed"))
    arguments = ["--upstream", f"unix:{path}", "--listen", f"hold:unix:{held}", "--listen", f"unix:{closed}", "--wait"]

    async def run() -> None:
        async with daemon(*arguments):
            for _ in range(2):
                await until(lambda: os.path.exists(held) and not os.path.exists(closed))
                waiting = RawClient.connect(held)
                async with FakeQEMU(two_disks(), path=path) as qemu:
                    assert await waiting_saves(waiting) == ""
                    await until(lambda: os.path.exists(closed))
                    assert await talk(closed, lambda client: client.hmp("savevm u")) == ""
                    await qemu.close()
                    await until(lambda: "has gone" in caplog.text)

    asyncio.run(run())
    # As a QEMU that was killed leaves it.
    assert os.listdir(folder) == ["q"]


def test_inherited_listener_holds(folder: Path) -> None:
    path = str(folder / "q")

    async def run() -> None:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"{folder}/a")
            listening.listen()
            number = os.dup(listening.fileno())
            arguments = ["--upstream", f"unix:{path}", "--listen", f"fd:{number}"]
            async with FakeQEMU(two_disks(), path=path) as first, daemon(*arguments):
                assert await talk(f"{folder}/a", lambda client: client.hmp("savevm t")) == ""
                await first.close()
                waiting = RawClient.connect(f"{folder}/a")
                async with FakeQEMU(two_disks(), path=path):
                    assert await waiting_saves(waiting) == ""

    asyncio.run(run())


@pytest.mark.parametrize("holds", [False, True], ids=["closes", "holds"])
def test_path_that_is_taken_over(folder: Path, caplog: pytest.LogCaptureFixture, holds: bool) -> None:
    path = str(folder / "q")
    option = f"hold:{path}" if holds else path

    async def run() -> None:
        async with daemon("--take-over", option, "--wait"):
            await until(lambda: "waiting for it" in caplog.text)
            for _ in range(2):
                if holds:
                    await until(lambda: os.path.exists(path))
                    waiting = RawClient.connect(path)
                else:
                    await until(lambda: not os.path.exists(path))
                caplog.clear()
                async with FakeQEMU(two_disks(), path=path) as qemu:
                    if holds:
                        assert await waiting_saves(waiting) == ""
                    await until(lambda: os.path.exists(path + ".hmpshim") and os.path.exists(path) and qemu.client_count)
                    await until(lambda: "is back" in caplog.text or "listening on" in caplog.text)
                    assert await talk(path, lambda client: client.hmp("savevm u")) == ""
                    await qemu.close()
                    await until(lambda: "has gone" in caplog.text)

    asyncio.run(run())
    assert [name for name in os.listdir(folder) if name.endswith(".hmpshim")] == []
    # That QEMU is back is news; that it is not there needs attention.
    assert {record.levelname for record in caplog.records if "is back" in record.message} <= {"INFO"}
    assert {record.levelname for record in caplog.records if "has gone" in record.message} == {"WARNING"}


@pytest.mark.parametrize("how", ["unix", "accept", "taken over"])
def test_proxy_ends_with_its_vm(folder: Path, how: str) -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks(), path=str(folder / "q")) as qemu:
            arguments = {
                "unix": ["--upstream", f"unix:{qemu.path}", "--listen", f"unix:{folder}/a"],
                "taken over": ["--take-over", qemu.path],
                "accept": ["--upstream", f"accept:unix:{folder}/c", "--listen", f"unix:{folder}/a"],
            }[how]
            async with daemon(*arguments, "--end-with-vm") as task, contextlib.AsyncExitStack() as stack:
                if how == "accept":
                    await until((folder / "c").exists)
                    stack.enter_context(relay(qemu.path, f"{folder}/c"))
                at = qemu.path if how == "taken over" else f"{folder}/a"
                await until(lambda: os.path.exists(at) and qemu.client_count)
                await until((folder / ("q.hmpshim" if how == "taken over" else "a")).exists)
                assert await talk(at, lambda client: client.hmp("savevm t")) == ""
                await qemu.close()
                async with asyncio.timeout(DEADLINE_S):
                    await asyncio.wait([task])

    asyncio.run(run())
    assert not (folder / "a").exists()


def test_vm_whose_qemu_calls_is_known_to_be_waited_for(folder: Path) -> None:
    """A service manager is told that the process is there, and not kept waiting for a VM that is off."""

    async def run() -> None:
        upstream = AcceptAddress(UnixAddress(f"{folder}/c"))
        fleet = Fleet([VMConfig(upstream, listen=(UnixAddress(f"{folder}/a"),))], forgives=False)
        serving = asyncio.create_task(fleet.run())

        def problem() -> str | None:
            (vm,) = statuses(fleet)
            return vm.problem

        async with asyncio.timeout(DEADLINE_S), FakeQEMU(two_disks(), path=str(folder / "q")) as qemu:
            await fleet.settled.wait()
            assert problem() == "QEMU has not connected yet"
            with relay(qemu.path, f"{folder}/c"):
                await until((folder / "a").exists)
                assert problem() is None
            await until(lambda: problem() == f"QEMU at {upstream} has gone")
            fleet.stop()
            await serving

    asyncio.run(run())


@contextlib.contextmanager
def relay(upstream: str, downstream: str) -> Iterator[None]:
    """Connect the two as a QEMU that calls us."""
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        one.connect(upstream)
        other.connect(downstream)
        for ours, theirs in ((one, other), (other, one)):
            ours.setblocking(False)
            asyncio.get_running_loop().add_reader(ours, forward, ours, theirs)
        try:
            yield
        finally:
            for sock in (one, other):
                asyncio.get_running_loop().remove_reader(sock)


def forward(source: socket.socket, target: socket.socket) -> None:
    data = source.recv(65536)
    if data:
        target.sendall(data)
    else:
        asyncio.get_running_loop().remove_reader(source)
        target.shutdown(socket.SHUT_WR)


def test_connect_timeout(folder: Path) -> None:
    """Whoever starts QEMU may listen for it before it is there."""

    async def run() -> tuple[int, str]:
        with socket.socket(socket.AF_UNIX) as early:
            early.bind(f"{folder}/q")
            early.listen()
            options = ["--upstream", f"unix:{folder}/q", "--listen", f"unix:{folder}/a", "--connect-timeout", "1"]
            return await in_thread(lambda: proxy_ends(*options))

    status, said = asyncio.run(run())
    silent = "no greeting within 1 s, and no other client is connected: QEMU is still starting, or is stopped"
    assert (status, said) == (4, f"hmp-proxy: unix:{folder}/q does not answer as a QMP server: {silent}\n")


def test_tool_at_qemu_is_told_of_once_and_waited_for(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qmp_connection, "GREETING_TIMEOUT_S", 0.05)

    async def run() -> None:
        async with FakeQEMU(two_disks(), path=str(folder / "q")) as qemu:
            with await in_thread(RawClient.connect, qemu.path) as tool:
                await in_thread(tool.negotiate)
                async with daemon("--take-over", qemu.path, "--wait"):
                    await until(lambda: caplog.text.count("another one is connected") > 3)
                    tool.close()
                    await until(lambda: "listening on" in caplog.text)
                    assert await talk(qemu.path, lambda client: client.hmp("savevm t")) == ""

    caplog.set_level("DEBUG")
    asyncio.run(run())
    assert caplog.text.count("a program connected to QEMU") == 1


def test_qemu_that_is_attached_to_comes_back(folder: Path) -> None:
    """The third is too old, which ends the proxy."""
    path, tools = str(folder / "q"), str(folder / "a")

    async def run() -> None:
        async with daemon("--attach", path, "--listen", f"unix:{tools}", "--wait") as task:
            for _ in range(2):
                async with AttachableQEMU(path=path) as qemu:
                    await until(lambda: os.path.exists(tools))
                    assert await talk(tools, lambda client: client.hmp("savevm t")) == ""
                    assert len(qemu.chardevs) == 1
                await until(lambda: not os.path.exists(tools))
            async with FakeQEMU(two_disks(), path=path):
                await until(task.done)

    with pytest.raises(AttachError, match=r"it is QEMU 7\.2\.22, and only 11\.1 or newer can add a monitor"):
        asyncio.run(run())

"""The proxy of one VM from start to end: QEMU's return, signals, and an exit status for everything that can be wrong."""

import asyncio
import contextlib
import os
import signal
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from host.net.addresses import parse_listen_address, parse_upstream_address
from host.settings.config import VMConfig
from proxy.errors import ListenError, ProxyError, UpstreamError
from proxy.vm_proxy import VMProxy
from tests.fakes.qemu import Drop, FakeQEMU, Faults, When, two_disks
from tests.integration.proxy_process import ProxyProcess
from tests.support.proxy.running_vm_proxy import (
    RETRY_S,
    RunningServer,
    answering,
    connected,
    exists,
    in_thread,
    proxy_ends,
    talk,
    until,
)
from tests.support.raw_client import DEADLINE_S, RawClient, command_bytes
from tests.support.routing.shared import a_shared


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="p", dir="/tmp") as name:
        yield Path(name)


Scene = Callable[[FakeQEMU, ProxyProcess], Awaitable[None]]


def with_process(folder: Path, scene: Scene) -> None:
    """Run a scene with `hmp-proxy` as a process; the scene ends it."""

    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            proxy = ProxyProcess(folder, qemu.path)
            await in_thread(proxy.__enter__)
            try:
                await scene(qemu, proxy)
                assert "Traceback" not in proxy.stderr
            finally:
                proxy.kill()

    asyncio.run(run())


async def is_let_in(path: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        await talk(path, lambda client: None)
        return True
    return False


async def until_let_in(path: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await is_let_in(path):  # noqa: ASYNC110 - what is waited for is a file
            await asyncio.sleep(RETRY_S)


# --- QEMU goes and comes ----------------------------------------------------------------------------------------------


def test_all_clients_get_eof_when_qemu_goes_and_the_next_ones_the_new_greeting(folder: Path) -> None:
    path = str(folder / "qmp.sock")

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            first = FakeQEMU(two_disks(), path=path, package="first")
            await first.__aenter__()
            server = await stack.enter_async_context(RunningServer(f"unix:{path}"))
            clients = [await connected(server.path), await connected(server.path), RawClient.connect(server.path)]
            await first.close()
            for client in clients:
                await in_thread(client.expect_eof)
                client.close()
            # Nobody listens, as with QEMU's own socket: a tool that tries to connect until it works is not let down.
            await until(lambda: not exists(server.path))
            await stack.enter_async_context(FakeQEMU(two_disks(), path=path, package="second"))
            await until_let_in(server.path)
            package = await talk(server.path, lambda client: client.returned("query-version")["package"])
            assert package == "second"
            with RawClient.connect(server.path) as client:
                assert b'"second"' in await in_thread(client.receive_message)
            assert await talk(server.path, lambda client: client.hmp("savevm t")) == ""

    asyncio.run(run())


def test_connection_that_is_lost_and_comes_back_many_times() -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}") as server:
            for number in range(4):
                assert await talk(server.path, lambda client: client.hmp("savevm t")) == ""
                qemu.disconnect()
                await until(_counts(qemu, number + 2))
                await until_let_in(server.path)

    asyncio.run(run())


def _counts(qemu: FakeQEMU, clients: int) -> Callable[[], bool]:
    return lambda: qemu.client_count == clients


def test_negotiation_that_is_lost_is_tried_again() -> None:
    async def run() -> None:
        faults = Faults(drops=[Drop("query-commands", When.RECEIVED, nth=2), Drop("qmp_capabilities", When.DONE, nth=3)])
        async with FakeQEMU(two_disks(), faults=faults) as qemu, RunningServer(f"unix:{qemu.path}") as server:
            qemu.disconnect()
            await until(lambda: qemu.client_count == 4)
            await until_let_in(server.path)

    asyncio.run(run())


# --- The end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_signal_while_idle_ends_it_in_order(folder: Path, number: signal.Signals) -> None:
    async def scene(qemu: FakeQEMU, proxy: ProxyProcess) -> None:
        assert proxy.process is not None
        with await in_thread(proxy.negotiated) as client:
            proxy.process.send_signal(number)
            assert await in_thread(client.expect_eof) == b""
        assert await in_thread(proxy.wait_gone) == 0
        assert not exists(proxy.path)

    with_process(folder, scene)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_signal_during_a_save_finishes_it(folder: Path, number: signal.Signals) -> None:
    async def scene(qemu: FakeQEMU, proxy: ProxyProcess) -> None:
        assert proxy.process is not None
        qemu.hold("snapshot-save", When.RECEIVED)
        with await in_thread(proxy.negotiated) as client:
            client.send(command_bytes("human-monitor-command", {"command-line": "savevm t"}, id=1))
            await qemu.reached("snapshot-save")
            proxy.process.send_signal(number)
            await until(lambda: "stopping once the commands that have begun are answered" in proxy.stderr)
            assert proxy.process.poll() is None
            qemu.release()
            assert b'{"return": "", "id": 1}\r\n' in await in_thread(client.expect_eof)
        assert await in_thread(proxy.wait_gone) == 0
        assert qemu.vm.graph["d0"].count("t") == 1
        assert qemu.vm.jobs.rows == []
        assert [record["reply"] for record in proxy.records] == [{"return": "", "id": "1"}]

    with_process(folder, scene)


def test_signal_during_a_save_also_ends_it_when_qemu_goes(folder: Path) -> None:
    async def scene(qemu: FakeQEMU, proxy: ProxyProcess) -> None:
        assert proxy.process is not None
        qemu.hold("snapshot-save", When.RECEIVED)
        with await in_thread(proxy.negotiated) as client:
            client.send(command_bytes("human-monitor-command", {"command-line": "savevm t"}, id=1))
            await qemu.reached("snapshot-save")
            proxy.process.terminate()
            await until(lambda: "stopping once" in proxy.stderr)
            qemu.disconnect()
            qemu.release()
            assert b"return" not in await in_thread(client.expect_eof)
        assert await in_thread(proxy.wait_gone) == 0
        assert [record["reply"] for record in proxy.records] == [None]

    with_process(folder, scene)


def test_second_signal_ends_it_at_once(folder: Path) -> None:
    async def scene(qemu: FakeQEMU, proxy: ProxyProcess) -> None:
        assert proxy.process is not None
        qemu.hold("snapshot-save", When.RECEIVED)
        with await in_thread(proxy.negotiated) as client:
            client.send(command_bytes("human-monitor-command", {"command-line": "savevm t"}, id=1))
            await qemu.reached("snapshot-save")
            proxy.process.terminate()
            await until(lambda: "stopping once" in proxy.stderr)
            proxy.process.terminate()
            assert await in_thread(proxy.wait_gone) == 130
            await in_thread(client.expect_eof)
        assert not exists(proxy.path)
        qemu.release()

    with_process(folder, scene)


def test_signal_while_qemu_is_away_ends_it(folder: Path) -> None:
    async def scene(qemu: FakeQEMU, proxy: ProxyProcess) -> None:
        assert proxy.process is not None
        await qemu.close()
        await until(lambda: "has gone; waiting for it to come back" in proxy.stderr)
        proxy.process.terminate()
        assert await in_thread(proxy.wait_gone) == 0

    with_process(folder, scene)


def test_signal_before_qemu_answers_ends_it(folder: Path) -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks(), faults=Faults(mute=frozenset({"query-commands"}))) as qemu:
            server = RunningServer(f"unix:{qemu.path}")
            starting = asyncio.create_task(server.__aenter__())
            await qemu.wait_received("query-commands")
            os.kill(os.getpid(), signal.SIGTERM)
            await starting
            await server.__aexit__(None, None, None)
            assert not exists(server.path)

    asyncio.run(run())


# --- Exit statuses ----------------------------------------------------------------------------------------------------


def ends(folder: Path, *arguments: str, upstream: str | None = None) -> tuple[int, str]:
    """Run the proxy to its end; give its status and the one line that it said."""
    chosen = [] if "--take-over" in arguments else ["--upstream", upstream or f"unix:{folder}/qmp.sock"]
    listen = [] if {"--listen", "--take-over"} & set(arguments) else ["--listen", f"unix:{folder}/legacy.sock"]
    status, said = proxy_ends(*chosen, *listen, *arguments)
    assert said.count("\n") == 1, said
    assert said.startswith("hmp-proxy: ")
    return status, said.removeprefix("hmp-proxy: ").rstrip("\n")


def test_no_socket_there(folder: Path) -> None:
    reason = "No such file or directory (is the VM running, with this QMP socket?)"
    assert ends(folder) == (3, f"cannot connect to QEMU at unix:{folder}/qmp.sock: {reason}")
    status, said = ends(folder, "--take-over", f"{folder}/qmp.sock")
    assert (status, said) == (3, f"cannot connect to QEMU at unix:{folder}/qmp.sock: {reason}")


def test_nothing_listening(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(folder / "qmp.sock"))
    reason = "Connection refused (is the VM running, with this QMP socket?)"
    assert ends(folder) == (3, f"cannot connect to QEMU at unix:{folder}/qmp.sock: {reason}")


def test_nothing_listening_by_tcp(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = f"tcp:127.0.0.1:{sock.getsockname()[1]}"
    status, said = ends(folder, upstream=address)
    assert status == 3
    assert said.startswith(f"cannot connect to QEMU at {address}: ")


def test_not_qmp(folder: Path) -> None:
    async def run() -> tuple[int, str]:
        async with answering(folder / "qmp.sock", b"SSH-2.0-OpenSSH_9.2\r\n"):
            return await in_thread(ends, folder)

    reason = "its greeting is b'SSH-2.0-OpenSSH_9.2\\r\\n'"
    assert asyncio.run(run()) == (4, f"unix:{folder}/qmp.sock does not answer as a QMP server: {reason}")


def test_audit_log_cannot_be_written(folder: Path) -> None:
    assert ends(folder, "--audit", f"{folder}/none/log") == (
        6, f"cannot write the audit log {folder}/none/log: No such file or directory",
    )  # fmt: skip


@pytest.mark.parametrize("occupied", ["in use", "file", "no folder"])
def test_listening_socket_cannot_be_made(folder: Path, occupied: str) -> None:
    path = folder / "legacy.sock" if occupied != "no folder" else folder / "none" / "legacy.sock"
    reasons = {
        "in use": "another program listens there; stop it or choose another path",
        "file": "the path exists and is not a socket; remove it or choose another",
        "no folder": "No such file or directory",
    }

    async def run() -> tuple[int, str]:
        with contextlib.ExitStack() as stack:
            if occupied == "in use":
                sock = stack.enter_context(socket.socket(socket.AF_UNIX))
                sock.bind(str(path))
                sock.listen()
            elif occupied == "file":
                path.write_text("precious")
            async with FakeQEMU(two_disks()) as qemu:
                return await in_thread(lambda: ends(folder, "--listen", f"unix:{path}", upstream=f"unix:{qemu.path}"))

    assert asyncio.run(run()) == (5, f"cannot listen on unix:{path}: {reasons[occupied]}")
    assert occupied != "file" or path.read_text() == "precious"


def test_wrong_use() -> None:
    status, said = proxy_ends("--listen", "unix:/l")
    assert status == 2
    assert said.count("\n") == 1


def test_stale_socket_is_replaced(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(folder / "legacy.sock"))

    async def scene(qemu: FakeQEMU, proxy: ProxyProcess) -> None:
        (await in_thread(proxy.negotiated)).close()

    with_process(folder, scene)


@pytest.mark.parametrize(("listen", "error"), [("unix:/none/l", ListenError), ("fd:9999", ListenError), ("stdio", None)])
def test_server_that_cannot_begin_leaves_nothing_open(listen: str, error: type[ProxyError] | None) -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            upstream = qemu.path if error else "/none/q"
            before = len(os.listdir("/proc/self/fd"))
            config = VMConfig(parse_upstream_address(f"unix:{upstream}"), (parse_listen_address(listen),))
            with pytest.raises(error or UpstreamError):
                await VMProxy(config, None, a_shared()).run()
            if error:
                await qemu.wait_gone()
            await until(lambda: len(os.listdir("/proc/self/fd")) <= before)

    asyncio.run(run())


def test_qemu_that_is_connected_to_when_all_is_to_end_is_left(folder: Path) -> None:
    """The sockets may be another process's by then."""

    class Connection:
        is_closed = False

        def close(self) -> None:
            self.is_closed = True

    config = VMConfig(parse_upstream_address("unix:/none"), (parse_listen_address(f"unix:{folder}/a"),))
    proxy, connection = VMProxy(config, None, a_shared()), Connection()
    proxy.stop()
    proxy._begin(connection, False)  # type: ignore[arg-type]
    assert connection.is_closed
    assert proxy.connection is None
    assert not (folder / "a").exists()

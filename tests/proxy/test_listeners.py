"""Every way in for clients: sockets that are made, inherited or passed by systemd, and standard input and output."""

import asyncio
import os
import resource
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from host.addresses import AcceptAddress, Address, DescriptorAddress, TCPAddress, UnixAddress
from proxy.errors import ListenError
from proxy.net import listeners as module
from proxy.net.listeners import Listeners
from proxy.net.sockets import is_answered
from proxy.net.stream import End
from shim.client import Client
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S, RawClient, command_bytes
from tests.support.raw_client import Address as ClientAddress
from tests.support.running_vm_proxy import RunningServer, connected, in_thread, proxy_ends, talk, until

# What systemd does before it starts a service with a socket (sd_listen_fds(3)).
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.execve(sys.argv[2], sys.argv[2:], os.environ | {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())})
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="e", dir="/tmp") as name:
        yield Path(name)


def saves(client: RawClient) -> str:
    return client.hmp("savevm t")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


# --- Listeners --------------------------------------------------------------------------------------------------------


class Admitted:
    """What was let in."""

    def __init__(self) -> None:
        self.ends: list[End] = []
        self.clients: list[Client] = []

    def admit(self, end: End, client: Client) -> None:
        self.ends.append(end)
        self.clients.append(client)

    def close(self) -> None:
        for end in self.ends:
            end.close()


def play(conversation: Callable[[Listeners, Admitted], Awaitable[None]]) -> None:
    async def run() -> None:
        admitted = Admitted()
        listeners = Listeners(admitted.admit)
        try:
            await conversation(listeners, admitted)
        finally:
            listeners.close()
            listeners.close()
            admitted.close()

    asyncio.run(run())


def test_nobody_is_let_in_before_the_start(folder: Path) -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        listeners.open([UnixAddress(f"{folder}/a"), TCPAddress("127.0.0.1", 0)])
        with RawClient.connect(f"{folder}/a"):
            for _ in range(3):
                await asyncio.sleep(0)
            assert not admitted.ends
            listeners.start()
            await until(lambda: admitted.ends)
        assert admitted.clients == [Client(os.getpid(), os.getuid(), os.readlink("/proc/self/exe"))]
        assert not listeners.has_only_connected

    play(conversation)
    assert not (folder / "a").exists()


@pytest.mark.parametrize("last", [UnixAddress("/none/a"), DescriptorAddress(9999), AcceptAddress(UnixAddress("/a"))])
def test_all_are_opened_or_none(folder: Path, last: Address) -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            with pytest.raises(ListenError):
                listeners.open([UnixAddress(f"{folder}/a"), DescriptorAddress(ours.detach()), last])
            assert theirs.recv(1) == b""
        assert not (folder / "a").exists()

    play(conversation)


def test_removed_socket_lets_nobody_in_and_stays_open(folder: Path) -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"{folder}/a")
            listening.listen()
            listeners.add(listening)
            listeners.start()
            listeners.remove(listening)
            with RawClient.connect(f"{folder}/a"):
                for _ in range(3):
                    await asyncio.sleep(0)
                assert not admitted.ends
            assert is_answered(f"{folder}/a")

    play(conversation)


def test_inherited_connection_is_let_in_at_the_start() -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            listeners.open([DescriptorAddress(ours.detach())])
            assert listeners.has_only_connected
            listeners.start()
            listeners.start()
            assert len(admitted.ends) == 1

    play(conversation)


def test_connection_that_is_not_let_in_is_closed() -> None:
    ours, theirs = socket.socketpair()

    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        listeners.open([DescriptorAddress(ours.detach())])

    with theirs:
        play(conversation)
        assert theirs.recv(1) == b""


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Take what the process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            taken.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(512))
        yield
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_clients_wait_while_there_is_no_descriptor_left(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ACCEPT_PAUSE_S", 0.01)

    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        listeners.open([UnixAddress(f"{folder}/a")])
        listeners.start()
        with RawClient.connect(f"{folder}/a"), RawClient.connect(f"{folder}/a"):
            with no_descriptor_left():
                await until(lambda: "cannot take a client, which waits: Too many open files" in caplog.text)
                assert not admitted.ends
            await until(lambda: len(admitted.ends) == 2)

    play(conversation)


def test_clients_leave_descriptors_for_everything_else(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told once, and who waits is taken when others have left."""
    monkeypatch.setattr(module, "_ACCEPT_PAUSE_S", 0.01)
    reserved = module._RESERVED_DESCRIPTORS

    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        listeners.open([UnixAddress(f"{folder}/a")])
        listeners.start()
        with RawClient.connect(f"{folder}/a"), RawClient.connect(f"{folder}/a"), few_descriptors_left(reserved) as limit:
            await until(lambda: caplog.text)
            await until(lambda: len(caplog.messages) == 1 and not admitted.ends)
            assert caplog.messages == [
                f"cannot take a client, which waits: of the {limit} files that it may open (ulimit -n)"
                f" only {reserved} are left, which it needs itself"
            ]
        await until(lambda: len(admitted.ends) == 2)

    play(conversation)


@contextmanager
def few_descriptors_left(count: int) -> Iterator[int]:
    """Take all descriptors but so many; give the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = min(soft, 256)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    taken: list[int] = []
    try:
        while not taken or taken[-1] < limit - count - 1:
            taken.append(os.open("/dev/null", os.O_RDONLY))
        yield limit
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_nobody_listens_while_there_is_nobody_to_come_to(folder: Path) -> None:
    port = free_port()

    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        closing: list[Address] = [UnixAddress(f"{folder}/a"), TCPAddress("127.0.0.1", port)]
        addresses = [*closing, UnixAddress(f"{folder}/held", holds=True)]
        listeners.open(addresses)
        listeners.start()
        listeners.suspend()
        assert not (folder / "a").exists()
        with pytest.raises(ConnectionRefusedError):
            RawClient.connect(("127.0.0.1", port))
        with RawClient.connect(f"{folder}/held"):
            for _ in range(3):
                await asyncio.sleep(0)
            assert not admitted.ends
            listeners.open(addresses)
            listeners.start()
            with RawClient.connect(f"{folder}/a"), RawClient.connect(("127.0.0.1", port)):
                await until(lambda: len(admitted.ends) == 3)
        listeners.suspend()
        listeners.suspend()

    play(conversation)
    assert not list(folder.iterdir())


def test_only_what_holds_is_opened_before_there_is_somebody_to_come_to(folder: Path) -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        holding = UnixAddress(f"{folder}/held", holds=True)
        listeners.open([UnixAddress(f"{folder}/a"), holding, DescriptorAddress(9999)], only_holding=True)
        assert os.listdir(folder) == ["held"]

    play(conversation)


def test_client_of_a_qemu_that_goes_this_moment_is_not_taken(folder: Path) -> None:
    async def run() -> None:
        admitted = Admitted()
        listeners = Listeners(admitted.admit, lambda: False)
        listeners.open([UnixAddress(f"{folder}/a")])
        listeners.start()
        with RawClient.connect(f"{folder}/a"):
            for _ in range(3):
                await asyncio.sleep(0)
            assert not admitted.ends
            listeners.close()

    asyncio.run(run())


def test_path_that_is_another_programs_by_now_is_left(folder: Path) -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        listeners.open([UnixAddress(f"{folder}/a")])
        (folder / "a").unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(f"{folder}/a")
            listeners.close()
        assert (folder / "a").exists()

    play(conversation)


def test_pause_of_a_socket_that_is_closed_meanwhile(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ACCEPT_PAUSE_S", 0.01)

    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        listeners.open([UnixAddress(f"{folder}/a")])
        listeners.start()
        with RawClient.connect(f"{folder}/a") as client:
            with no_descriptor_left():
                await until(lambda: caplog.text)
                listeners.close()
            await in_thread(client.expect_eof)
            over = asyncio.Event()
            asyncio.get_running_loop().call_later(0.02, over.set)
            await over.wait()
        assert not admitted.ends

    play(conversation)


# --- A server with them -----------------------------------------------------------------------------------------------


def test_several_listeners(folder: Path) -> None:
    port = free_port()
    addresses: list[ClientAddress] = [f"{folder}/a", f"{folder}/b", ("127.0.0.1", port)]

    async def run() -> None:
        options = ["--listen", f"unix:{folder}/a", "--listen", f"unix:{folder}/b", "--listen", f"tcp:127.0.0.1:{port}"]
        async with FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}", *options) as server:
            for address in (server.path, *addresses):
                assert await talk(address, saves) == ""
            clients = [record["client"] for record in server.records]
        assert [client["pid"] for client in clients] == [os.getpid()] * 3 + [None]
        assert clients[-1]["address"].startswith("tcp:127.0.0.1:")

    asyncio.run(run())
    assert not list(folder.iterdir())


@contextmanager
def started(*arguments: str, pass_fds: tuple[int, ...] = (), prefix: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """Run `hmp-proxy` with pipes to it; it must have ended well in the end."""
    command = [*prefix, sys.executable, "-X", "dev", "-W", "error", "-m", "proxy", *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, pass_fds=pass_fds, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.terminate()
            _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, said
    assert b"Traceback" not in said


@pytest.mark.parametrize("how", ["fd", "systemd"])
def test_inherited_listening_socket(folder: Path, how: str) -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(f"{folder}/a")
                listening.listen()
                number = listening.fileno()
                listen = ["--listen", f"fd:{number}" if how == "fd" else "systemd"]
                prefix = (sys.executable, "-c", AS_SYSTEMD, str(number)) if how == "systemd" else ()
                with started("--upstream", f"unix:{qemu.path}", *listen, pass_fds=(number,), prefix=prefix):
                    assert await talk(f"{folder}/a", saves) == ""
                    assert await talk(f"{folder}/a", saves) == ""
        # The file is not the proxy's: whoever made the socket keeps it.
        assert (folder / "a").exists()

    asyncio.run(run())


def test_systemd_passed_nothing() -> None:
    status, said = proxy_ends("--upstream", "unix:/none", "--listen", "systemd")
    assert (status, said.count("\n")) == (3, 1)


@pytest.mark.parametrize("listen", ["systemd", "fd:97"])
def test_nothing_was_inherited(listen: str) -> None:
    async def run() -> tuple[int, str]:
        async with FakeQEMU() as qemu:
            return await in_thread(lambda: proxy_ends("--upstream", f"unix:{qemu.path}", "--listen", listen))

    status, said = asyncio.run(run())
    assert status == 5
    assert said.count("\n") == 1
    assert said.startswith(f"hmp-proxy: cannot listen on {listen}: no socket")


@pytest.mark.parametrize("qemu_ends", [False, True], ids=["client ends", "QEMU ends"])
def test_inherited_connection_ends_the_proxy_with_it(qemu_ends: bool) -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            ours, theirs = socket.socketpair()
            listen = ["--listen", f"fd:{theirs.fileno()}"]
            with started("--upstream", f"unix:{qemu.path}", *listen, pass_fds=(theirs.fileno(),)) as proxy, ours:
                theirs.close()
                with RawClient(ours) as client:
                    await in_thread(client.negotiate)
                    assert await in_thread(client.hmp, "savevm t") == ""
                    if qemu_ends:
                        qemu.disconnect()
                        await in_thread(client.expect_eof)
                await in_thread(proxy.wait, DEADLINE_S)

    asyncio.run(run())


@pytest.mark.parametrize("qemu_ends", [False, True], ids=["client ends", "QEMU ends"])
def test_standard_input_and_output(qemu_ends: bool) -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            with started("--upstream", f"unix:{qemu.path}", "--listen", "stdio") as proxy:
                assert proxy.stdin is not None
                assert proxy.stdout is not None
                assert b'"QMP"' in await in_thread(proxy.stdout.readline)
                save = command_bytes("human-monitor-command", {"command-line": "savevm t"}, id=1)
                proxy.stdin.write(b'{"execute":"qmp_capabilities"}' + save)
                proxy.stdin.flush()
                said = [await in_thread(proxy.stdout.readline) for _ in range(4)]
                assert [b"return" in line or b"event" in line for line in said] == [True] * 4
                assert said[-1] == b'{"return": "", "id": 1}\r\n'
                if qemu_ends:
                    qemu.disconnect()
                    assert await in_thread(proxy.stdout.read) == b""
                else:
                    # What was asked for is done, and answered, before the end.
                    proxy.stdin.write(save)
                    proxy.stdin.close()
                    assert (await in_thread(proxy.stdout.read)).endswith(b'{"return": "", "id": 1}\r\n')
                    proxy.stdin = None
                assert await in_thread(proxy.wait, DEADLINE_S) == 0

    asyncio.run(run())


def test_standard_input_that_cannot_be_waited_for() -> None:
    async def run() -> tuple[int, str]:
        async with FakeQEMU() as qemu:
            return await in_thread(lambda: proxy_ends("--upstream", f"unix:{qemu.path}", "--listen", "stdio"))

    reason = "standard input must be a pipe, a socket or a terminal"
    assert asyncio.run(run()) == (5, f"hmp-proxy: cannot listen on stdio: {reason}\n")


def test_inherited_connection_to_qemu_ends_the_proxy_with_it(folder: Path) -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(qemu.path)
                arguments = ["--upstream", f"fd:{sock.fileno()}", "--listen", f"unix:{folder}/a"]
                with started(*arguments, pass_fds=(sock.fileno(),)) as proxy:
                    sock.close()
                    await until(lambda: is_answered(f"{folder}/a"))
                    with await connected(f"{folder}/a") as client:
                        assert await in_thread(client.hmp, "savevm t") == ""
                        qemu.disconnect()
                        await in_thread(client.expect_eof)
                    await in_thread(proxy.wait, DEADLINE_S)

    asyncio.run(run())

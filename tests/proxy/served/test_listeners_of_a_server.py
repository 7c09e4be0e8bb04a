"""A proxy with every way in for clients: sockets that are made, inherited or passed by systemd, and standard streams."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.net.sockets import is_answered
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.checkout import ROOT
from tests.support.proxy.running_vm_proxy import RunningServer, connected, free_port, in_thread, proxy_ends, talk, until
from tests.support.raw_client import DEADLINE_S, RawClient, command_bytes
from tests.support.raw_client import Address as ClientAddress

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


def test_several_listeners(folder: Path) -> None:
    port = free_port()
    addresses: list[ClientAddress] = [f"{folder}/a", f"{folder}/b", ("127.0.0.1", port)]

    async def run() -> None:
        options = ["--listen", f"unix:{folder}/a", "--listen", f"unix:{folder}/b", "--listen", f"tcp:127.0.0.1:{port}"]
        async with FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}", *options) as server:
            for address in (server.path, *addresses):
                assert await talk(address, saves) == ""
            clients = [record["client"] for record in server.records]
        assert [client["pid"] for client in clients] == [os.getpid()] * 4
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


def test_standard_output_is_read_as_late_as_one_likes() -> None:
    """`(echo ...) | hmp-proxy --listen stdio | ...`: the end of the input is the end of the client, and not of what is due."""

    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            with started("--upstream", f"unix:{qemu.path}", "--listen", "stdio") as proxy:
                assert proxy.stdin is not None
                assert proxy.stdout is not None
                proxy.stdin.write(b'{"execute":"qmp_capabilities"}')
                proxy.stdin.flush()
                for _ in range(2):
                    await in_thread(proxy.stdout.readline)
                for _ in range(64):
                    await qemu.send_event("BIG", {"text": "x" * 32 * 1024})
                proxy.stdin.write(b'{"execute":"query-uuid"}')
                proxy.stdin.close()
                proxy.stdin = None
                await qemu.wait_received("query-uuid")
                printed = await in_thread(proxy.stdout.read)
                assert printed.count(b'"BIG"') == 64
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

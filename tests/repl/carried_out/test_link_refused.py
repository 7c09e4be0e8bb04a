"""What the prompt's connection says where there is none, or where what answers is no QMP server."""

import asyncio
import json
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from host.net.addresses import TCPAddress, UnixAddress
from host.net.connecting import USE_QMP
from repl import link
from repl.errors import LinkError
from shim.qmp import Execute, Reply, ReturnReply
from tests.fakes.qemu import Drop, FakeQEMU, Faults, When
from tests.support.proxy.running_vm_proxy import answering, bound
from tests.support.repl.seen_link import obeying, seeing
from tests.support.routing.pure_router import greeting

GREETING: Final = greeting()
NO_QMP: Final = "it does not answer as a QMP server (this program cannot use a monitor in pretty mode)"
IS_IT_RUNNING: Final = "(is the VM running, with this QMP socket?)"
STARTING: Final = "no greeting within 0.05 s, and no other client is connected: QEMU is still starting, or is stopped"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "HANG_UP_PAUSE_S", 0.001)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as name:
        yield Path(name)


def refused(address: UnixAddress | TCPAddress) -> str:
    """Return why there is no connection."""

    async def run() -> str:
        return await refusal(address)

    return asyncio.run(run())


async def refusal(address: UnixAddress | TCPAddress) -> str:
    async with seeing(address) as seen:
        with pytest.raises(LinkError) as error:
            await seen.link.connect()
        assert not seen.link.is_connected
        assert seen.things == []
        assert str(error.value) == f"cannot connect to QEMU at {address}: {error.value.reason}"
        return error.value.reason


def test_nobody_is_there(folder: Path) -> None:
    assert refused(UnixAddress(f"{folder}/s")) == f"No such file or directory {IS_IT_RUNNING}"


def test_file_is_no_socket(folder: Path) -> None:
    (folder / "file").touch()
    assert refused(UnixAddress(f"{folder}/file")) == f"Connection refused {IS_IT_RUNNING}"


def test_socket_of_a_qemu_that_has_ended(folder: Path) -> None:
    bound(folder / "s").close()
    assert refused(UnixAddress(f"{folder}/s")) == f"Connection refused {IS_IT_RUNNING}"


def test_nobody_listens_on_the_port() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert refused(TCPAddress("127.0.0.1", sock.getsockname()[1])) == f"Connection refused {IS_IT_RUNNING}"


def test_path_is_no_folder(folder: Path) -> None:
    (folder / "file").touch()
    assert refused(UnixAddress(f"{folder}/file/s")) == "Not a directory"


def test_socket_is_busy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU accepts a second client only when the first has gone; until then the kernel keeps it waiting."""
    monkeypatch.setattr(link, "_GREETING_TIMEOUT_S", 0.05)
    with bound(folder / "s") as listener:
        listener.listen()
        assert refused(UnixAddress(f"{folder}/s")) == STARTING


def test_queue_of_the_socket_stays_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_GREETING_TIMEOUT_S", 0.05)
    with bound(folder / "s") as listener, socket.socket(socket.AF_UNIX) as other:
        listener.listen(0)
        other.connect(str(folder / "s"))
        assert refused(UnixAddress(f"{folder}/s")) == STARTING


VERSION: Final = b'{"qemu": {"micro": 1, "minor": 2, "major": 7}, "package": ""}'


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\xff\xfe\r\n",
        b"\r\n",
        b"[1]\r\n",
        b"null\r\n",
        b"{}\r\n",
        b'{"QMP": 1}\r\n',
        b'{"QMP": {"version": 1, "capabilities": []}}\r\n',
        b'{"QMP": {"version": %s}}\r\n' % VERSION,
        b'{\r\n    "QMP": {\r\n        "version": {\r\n',
        GREETING + b"garbage\r\n",
        GREETING + b'{"error": {"class": "GenericError", "desc": "no"}}\r\n',
    ],
    ids=["text", "bytes", "blank", "array", "null", "empty", "number", "version", "half", "pretty", "garbled", "unwilling"],
)
@pytest.mark.parametrize("waits", [True, False], ids=["waits", "hangs up"])
def test_what_answers_is_no_qmp_server(folder: Path, said: bytes, waits: bool) -> None:
    async def run() -> str:
        async with answering(folder / "s", said, waits=waits):
            return await refusal(UnixAddress(f"{folder}/s"))

    # Behind its greeting, one that hangs up may be gone before it is asked anything.
    reasons = {NO_QMP} if waits or GREETING not in said else {NO_QMP, "Broken pipe", "Connection reset by peer"}
    assert asyncio.run(run()) in reasons


def test_human_monitor_is_called_so(folder: Path) -> None:
    async def run() -> str:
        banner = b"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) "
        async with answering(folder / "s", banner):
            return await refusal(UnixAddress(f"{folder}/s"))

    assert asyncio.run(run()) == USE_QMP


def test_server_hangs_up_instead_of_greeting(folder: Path) -> None:
    async def run() -> str:
        async with answering(folder / "s", b"", waits=False):
            return await refusal(UnixAddress(f"{folder}/s"))

    assert asyncio.run(run()) == "it closed the connection before it was negotiated"


@pytest.mark.parametrize(("when", "times"), [(When.RECEIVED, 1), (When.RECEIVED, 3), (When.DONE, 1)])
def test_hanging_up_now_and_then_is_overcome(when: When, times: int) -> None:
    """QEMU may do so while it parts from an earlier client, or while it starts."""

    async def run() -> int:
        drops = [Drop("qmp_capabilities", when, nth + 1) for nth in range(times)]
        async with FakeQEMU(faults=Faults(drops=drops)) as qemu, seeing(UnixAddress(qemu.path)) as seen:
            await seen.link.connect()
            assert isinstance((await seen.execute(Execute("query-status")))[0], ReturnReply)
            assert seen.losses == []
            return qemu.client_count

    assert asyncio.run(run()) == times + 1


def test_connection_that_ends_as_soon_as_it_is_made_is_an_error_and_no_fault(folder: Path) -> None:
    async def run() -> str:
        async with answering(folder / "s", GREETING + b'{"return": {}}\r\n5\r\n'):
            return await refusal(UnixAddress(f"{folder}/s"))

    assert asyncio.run(run()) == NO_QMP


def test_server_that_refuses_to_negotiate_is_left_with_its_reason(folder: Path) -> None:
    parted = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        asked = json.loads(await reader.read(1000))
        error = {"class": "GenericError", "desc": "not today\nnor tomorrow"}
        writer.write(json.dumps({"error": error, "id": asked["id"]}).encode() + b"\r\n")
        parted.append(await reader.read())
        writer.close()

    async def run() -> str:
        async with await asyncio.start_unix_server(serve, folder / "s"):
            return await refusal(UnixAddress(f"{folder}/s"))

    assert asyncio.run(run()) == "not today"
    assert parted == [b""]


def test_pretty_monitor_is_refused() -> None:
    async def run() -> str:
        async with FakeQEMU(pretty=True) as qemu:
            return await refusal(UnixAddress(qemu.path))

    assert asyncio.run(run()) == NO_QMP


def test_tcp_is_a_way_too() -> None:
    async def run() -> list[Reply]:
        server = await asyncio.start_server(obeying(lambda name: {"return": name}), "127.0.0.1", 0)
        async with server:
            host, port = server.sockets[0].getsockname()
            async with seeing(TCPAddress(host, port)) as seen:
                await seen.link.connect()
                return await seen.execute(Execute("query-status"))

    assert asyncio.run(run()) == [ReturnReply("query-status")]

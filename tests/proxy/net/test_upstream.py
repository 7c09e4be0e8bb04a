"""The connection to QEMU: every way to it, its negotiation, and what answers there that is none."""

import asyncio
import contextlib
import itertools
import json
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from host.net.addresses import ASIDE_SUFFIX, StdioAddress, parse_upstream_address
from host.net.socket_access import SocketAccess
from proxy.errors import ListenError, NotQMPError, OccupiedError, UpstreamError
from proxy.net import qmp_connection, upstream
from proxy.net.ends import SocketEnd
from proxy.net.qmp_connection import GREETING_TIMEOUT_S, Connected, QMPConnection
from proxy.net.upstream import Upstream
from shim.qmp import QEMUVersion
from tests.fakes.qemu import Drop, FakeQEMU, Faults, When
from tests.support.proxy.running_vm_proxy import answering, bound, serving, until
from tests.support.routing.pure_router import EVENT, greeting

Result = TypeVar("Result")
GREETING: Final = greeting()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="u", dir="/tmp") as name:
        yield Path(name)


def an_upstream(address: str, name: str | None = None, *, timeout_s: float = GREETING_TIMEOUT_S) -> Upstream:
    new_id = map("hmpshim-{}".format, itertools.count(1)).__next__
    return Upstream(parse_upstream_address(address), name=name, new_id=new_id, timeout_s=timeout_s)


def _sock(found: Connected) -> socket.socket:
    assert isinstance(found.end, SocketEnd)
    return found.end._sock


@asynccontextmanager
async def connected(address: str, name: str | None = None) -> AsyncIterator[Connected]:
    upstream = an_upstream(address, name)
    try:
        found = (await upstream.connect()).hand_over()
        with _sock(found):
            yield found
    finally:
        upstream.close()


def play(conversation: Awaitable[Result]) -> Result:
    async def run() -> Result:
        return await conversation

    return asyncio.run(run())


# --- Negotiation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pretty", [False, True])
@pytest.mark.parametrize("oob", [False, True])
@pytest.mark.parametrize("pieces", [None, 1])
def test_negotiation_tells_what_sessions_and_plans_need(pretty: bool, oob: bool, pieces: int | None) -> None:
    async def run() -> None:
        capabilities, faults = ["oob"] if oob else [], Faults(piece_bytes=pieces)
        fake = FakeQEMU(pretty=pretty, capabilities=capabilities, faults=faults, version=QEMUVersion(6, 1, 2))
        async with fake, connected(f"unix:{fake.path}") as found:
            assert (found.monitor.version, found.monitor.offers_oob, found.rest) == (QEMUVersion(6, 1, 2), oob, b"")
            assert json.loads(found.monitor.greeting)["QMP"]["capabilities"] == capabilities
            assert {"snapshot-save", "human-monitor-command"} <= found.monitor.commands
            assert found.monitor.vm == f"unix:{fake.path}"
            assert fake.received[0]["arguments" if oob else "execute"] == ({"enable": ["oob"]} if oob else "qmp_capabilities")
            assert fake.commands == ["qmp_capabilities", "query-commands", "query-name"]

    play(run())


class TextServer:
    """Greet, and answer the three commands of the negotiation with their ids."""

    def __init__(self, *, before: bytes = b"", behind: bytes = b"") -> None:
        self._before = before
        self._behind = behind

    async def serve(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, GREETING + self._before)
        received = b""
        while received.count(b"\n") < 3:
            received += await loop.sock_recv(sock, 4096)
        values: list[Any] = [{}, [{"name": "query-jobs"}], {"name": "from -name"}]
        for value, line in zip(values, received.splitlines(), strict=True):
            await loop.sock_sendall(sock, json.dumps({"return": value, "id": json.loads(line)["id"]}).encode() + b"\r\n")
        await loop.sock_sendall(sock, self._behind)
        await loop.sock_recv(sock, 1)


@pytest.mark.parametrize(("name", "vm"), [(None, "from -name"), ("from the operator", "from the operator")])
def test_name_in_the_audit(folder: Path, name: str | None, vm: str) -> None:
    async def run() -> None:
        async with serving(bound(folder / "q"), TextServer().serve), connected(f"unix:{folder}/q", name) as found:
            assert (found.monitor.vm, set(found.monitor.commands)) == (vm, {"query-jobs"})

    play(run())


def test_stale_replies_and_events_before_it_are_nobodys_and_what_comes_behind_is_kept(folder: Path) -> None:
    stale = b'{"return": {}, "id": "hmpshim-1-of-another"}\r\n{"return": 5}\r\n{"id": 1, "error": {}}\r\n' + EVENT
    rest = EVENT + b'{"return": '

    async def run() -> None:
        server = TextServer(before=stale, behind=rest)
        async with serving(bound(folder / "q"), server.serve), connected(f"unix:{folder}/q") as found:
            behind = found.rest
            while len(behind) < len(rest):
                behind += await asyncio.get_running_loop().sock_recv(_sock(found), 100)
            assert behind == rest

    play(run())


# --- What is not there, or is something else --------------------------------------------------------------------------


NO_SERVER: Final = "does not answer as a QMP server"


def refused(address: str, timeout_s: float = GREETING_TIMEOUT_S) -> str:
    """Connect in vain; give the error's text."""

    async def run() -> str:
        upstream = an_upstream(address, timeout_s=timeout_s)
        try:
            with pytest.raises((UpstreamError, NotQMPError)) as error:
                await upstream.connect()
            return f"{type(error.value).__name__}: {error.value}"
        finally:
            upstream.close()

    return asyncio.run(run())


def test_no_socket(folder: Path) -> None:
    reason = "No such file or directory (is the VM running, with this QMP socket?)"
    assert refused(f"unix:{folder}/q") == f"UpstreamError: cannot connect to QEMU at unix:{folder}/q: {reason}"


def test_nobody_listening(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{folder}/q")
    assert "Connection refused (is the VM running" in refused(f"unix:{folder}/q")


VERSION: Final = b'{"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 1}}'


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "its greeting is b'SSH-2.0-OpenSSH_9.2\\r\\n'"),
        (b"\xff\xfe\n", "its greeting is b'\\xff\\xfe\\n'"),
        (b"[]\n", "its greeting is b'[]\\n'"),
        (b'{"QMP": {}}\n', "its greeting is b'{\"QMP\": {}}\\n'"),
        (VERSION + b"}}\n", "its greeting is b'"),
        (b"[" * 3000 + b"]" * 3000 + b"\n", "its greeting is b'[[["),
        (b"x" * 100_000, "it sent b'xxx"),
        (GREETING + b"garbage\n", "it sent b'garbage\\n'"),
        (GREETING + b"[]\n", "it sent b'[]\\n'"),
        (GREETING + b"7\n", "it sent b'7\\n'"),
        (GREETING + b"[" * 3000 + b"\n", "it sent b'[[["),
        (GREETING + b'{"return": {}, "id": {}}\n\xff\n', "it sent b'\\xff\\n'"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, bytes) else "",
)
def test_garbage(folder: Path, said: bytes, reason: str) -> None:
    async def run() -> str:
        async with answering(folder / "q", said):
            with pytest.raises(NotQMPError) as error:
                await an_upstream(f"unix:{folder}/q").connect()
            return error.value.reason

    assert play(run()).startswith(reason)


@pytest.mark.parametrize("said", [b"", b'{"QMP": ', GREETING, GREETING + b'{"return"'])
def test_peer_that_hangs_up(folder: Path, said: bytes) -> None:
    async def run() -> str:
        async with answering(folder / "q", said, waits=False):
            with pytest.raises(NotQMPError) as error:
                await an_upstream(f"unix:{folder}/q").connect()
            return error.value.reason

    done = "its commands are not answered"
    assert play(run()) in {"it closed the connection before its answers were complete", done, "Connection reset by peer"}


def test_peer_that_serves_another_is_busy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is known for sure, so the time for a slow start is not waited for."""
    monkeypatch.setattr(qmp_connection, "GREETING_TIMEOUT_S", 0.05)

    async def run() -> str:
        async with answering(folder / "q", b""):
            with pytest.raises(OccupiedError) as error:
                await an_upstream(f"unix:{folder}/q", timeout_s=600).connect()
            return error.value.reason

    assert play(run()) == "no greeting within 0.05 s; QEMU serves one client per socket, and another one is connected"


def test_socket_that_qemu_does_not_serve_yet(folder: Path) -> None:
    """Whoever starts QEMU may have made its socket for it (libvirt does), and then nobody else is connected."""
    with bound(folder / "q") as listener:
        listener.listen()
        silent = "no greeting within 0.05 s, and no other client is connected: QEMU is still starting, or is stopped"
        assert refused(f"unix:{folder}/q", timeout_s=0.05) == f"NotQMPError: unix:{folder}/q {NO_SERVER}: {silent}"


@pytest.mark.parametrize("is_aside", [False, True])
def test_full_queue_behind_another_client(folder: Path, is_aside: bool) -> None:
    """Also of a socket that was moved aside, which the kernel calls as before."""
    path = f"{folder}/q"
    with contextlib.ExitStack() as stack:
        server, served, waiting = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(3))
        server.bind(path)
        server.listen(0)
        served.connect(path)
        stack.enter_context(server.accept()[0])
        waiting.connect(path)
        if is_aside:
            os.rename(path, path + ASIDE_SUFFIX)
            path += ASIDE_SUFFIX
        with pytest.raises(OccupiedError, match="QEMU serves one client per socket, and another one is connected"):
            play(an_upstream(f"unix:{path}", timeout_s=0.1).connect())


def test_full_queue_is_waited_for(folder: Path) -> None:
    async def run() -> None:
        path = f"{folder}/q"
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
            server.bind(path)
            server.listen(0)
            first.connect(path)
            connecting = asyncio.create_task(an_upstream(f"unix:{path}").connect())
            for _ in range(3):
                await asyncio.sleep(0)
            assert not connecting.done()
            server.accept()[0].close()
            server.setblocking(False)
            sock, _ = await asyncio.get_running_loop().sock_accept(server)
            with sock:
                sock.send(GREETING)
                assert b"qmp_capabilities" in await asyncio.get_running_loop().sock_recv(sock, 1000)
            with pytest.raises(NotQMPError):
                await connecting

    play(run())


def test_queue_that_stays_full_is_busy(folder: Path) -> None:
    path = f"{folder}/q"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(path)
        server.listen(0)
        first.connect(path)
        assert "no greeting within 0.05 s" in refused(f"unix:{path}", timeout_s=0.05)


def test_negotiation_that_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "QMPConnection", partial(QMPConnection, answer_timeout_s=0.05))

    async def run() -> str:
        async with FakeQEMU(faults=Faults(mute=frozenset({"query-name"}))) as fake:
            with pytest.raises(NotQMPError) as error:
                await an_upstream(f"unix:{fake.path}").connect()
            return error.value.reason

    assert play(run()) == "its commands are not answered"


@pytest.mark.parametrize("when", list(When), ids=lambda when: when.name)
@pytest.mark.parametrize("command", ["qmp_capabilities", "query-commands", "query-name"])
def test_loss_at_every_step_of_the_negotiation(command: str, when: When) -> None:
    """QEMU may hang up on one that comes while it parts from another: the next attempt is let in."""

    async def run() -> None:
        async with FakeQEMU(faults=Faults(drops=[Drop(command, when)])) as fake:
            upstream = an_upstream(f"unix:{fake.path}")
            # What was owed to the lost connection comes to the next, and is nobody's.
            found = (await upstream.connect()).hand_over()
            assert found.rest == b""
            _sock(found).close()

    play(run())


def test_cancelled_connection_is_closed() -> None:
    async def run() -> None:
        async with FakeQEMU(faults=Faults(mute=frozenset({"query-name"}))) as fake:
            connecting = asyncio.create_task(an_upstream(f"unix:{fake.path}").connect())
            await fake.wait_received("query-name")
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            await fake.wait_gone()

    play(run())


# --- Other ways -------------------------------------------------------------------------------------------------------


def test_tcp() -> None:
    async def run() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        address = f"tcp:127.0.0.1:{listener.getsockname()[1]}"
        async with serving(listener, TextServer().serve), connected(address) as found:
            assert found.monitor.vm == "from -name"
            assert _sock(found).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    play(run())


def test_inherited_connection_is_there_once() -> None:
    """Its number may be another file's afterwards."""

    async def run() -> None:
        async with FakeQEMU() as fake:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(fake.path)
            number = sock.detach()
            upstream = an_upstream(f"fd:{number}")
            assert not upstream.can_return
            found = (await upstream.connect()).hand_over()
            _sock(found).close()
            ours, theirs = socket.socketpair()
            with ours, theirs:
                assert number in (ours.fileno(), theirs.fileno())
                with pytest.raises(UpstreamError, match=f"fd:{number}: the inherited connection has ended"):
                    await upstream.connect()

    play(run())


def test_descriptor_that_is_no_socket() -> None:
    number = os.open("/dev/null", os.O_RDONLY)
    reason = "no socket was inherited there: "
    assert refused(f"fd:{number}").startswith(f"UpstreamError: cannot connect to QEMU at fd:{number}: {reason}")
    os.close(number)


def test_address_at_which_qemu_cannot_be() -> None:
    async def run() -> None:
        with pytest.raises(UpstreamError, match="cannot connect to QEMU at stdio: QEMU cannot be there"):
            await Upstream(StdioAddress(), name=None, new_id=lambda: "id").connect()

    play(run())


def test_listening_socket_is_not_qemu(folder: Path) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(f"{folder}/q")
    sock.listen()
    assert refused(f"fd:{sock.detach()}").startswith("NotQMPError: ")


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_qemu_connects_to_us_as_often_as_it_likes(folder: Path, kind: str) -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        address = f"accept:unix:{folder}/a" if kind == "unix" else f"accept:tcp:127.0.0.1:{port}"
        upstream = an_upstream(address)
        for _ in range(3):
            connecting = asyncio.create_task(upstream.connect())
            sock = socket.socket(socket.AF_UNIX) if kind == "unix" else socket.socket()
            sock.connect(f"{folder}/a" if kind == "unix" else ("127.0.0.1", port))
            sock.setblocking(False)
            serving_task = asyncio.create_task(TextServer().serve(sock))
            found = await connecting
            assert found.monitor.vm == "from -name"
            found.close()
            await serving_task
            sock.close()
        assert upstream.can_return
        upstream.close()
        assert not (folder / "a").exists()

    play(run())


def test_socket_to_wait_at_cannot_be_made(folder: Path) -> None:
    with pytest.raises(ListenError, match=f"cannot listen on unix:{folder}/none/a: No such file or directory"):
        an_upstream(f"accept:unix:{folder}/none/a")


def test_socket_at_which_qemu_comes_is_for_whom_it_is_wanted(folder: Path) -> None:
    path = folder / "a"
    upstream = Upstream(
        parse_upstream_address(f"accept:unix:{path}"), name=None, new_id=lambda: "1", access=SocketAccess(0o620, 1234, 5678)
    )
    found = path.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o620, 1234, 5678)
    upstream.close()


def test_waiting_for_qemu_has_no_timeout(folder: Path) -> None:
    async def run() -> None:
        upstream = an_upstream(f"accept:unix:{folder}/a", timeout_s=0.01)
        connecting = asyncio.create_task(upstream.connect())
        done, _ = await asyncio.wait((connecting,), timeout=0.1)
        assert not done
        connecting.cancel()
        await asyncio.wait((connecting,))
        upstream.close()

    play(run())


def test_name_of_the_vm_does_not_change_with_the_address() -> None:
    """Its socket moves aside where it is taken over."""

    async def run() -> None:
        async with FakeQEMU() as fake:
            upstream = an_upstream(f"unix:{fake.path}")
            (await upstream.connect()).close()
            os.rename(fake.path, fake.path + ".aside")
            upstream.address = parse_upstream_address(f"unix:{fake.path}.aside")
            await until(lambda: fake.client_count == 1)
            found = (await upstream.connect()).hand_over()
            assert found.monitor.vm == f"unix:{fake.path}"
            _sock(found).close()

    play(run())

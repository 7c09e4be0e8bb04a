"""Clients that have left and still have something to read: counted, waited for as long as they read, and then not for ever."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import pytest

import proxy.relaying.leaving as module
from proxy.fairness.ledger import Ledger
from proxy.net.ends import SocketEnd
from proxy.net.stream import Stream
from proxy.relaying.leaving import Leaving
from shim.client import Client
from tests.fakes.qemu import FakeQEMU
from tests.support.proxy.heard_stream import Heard
from tests.support.proxy.running_vm_proxy import RunningServer, connected, in_thread, played, until
from tests.support.raw_client import RawClient, command_bytes

MIB: Final = 1024 * 1024
CLIENT: Final = Client(7, 5, "/bin/tool", listener="unix:/l")


def play(scene: Callable[[Leaving, Ledger, Stream, socket.socket], Awaitable[None]], *, most_bytes: int = 64 * MIB) -> None:
    """Run a scene with a stream to which 4 MiB are due, whose client is at the other end."""

    async def run() -> None:
        ours, peer = socket.socketpair()
        ledger = Ledger(most_bytes)
        leaving = Leaving(ledger)
        stream = Heard().stream(SocketEnd(ours))
        stream.write(bytes(4 * MIB))
        with peer:
            peer.settimeout(30)
            await scene(leaving, ledger, stream, peer)
            leaving.close()
            leaving.close()
        assert (stream.is_closed, ledger.total_bytes, leaving.clients) == (True, 0, [])

    asyncio.run(run())


def test_client_is_counted_until_all_is_sent() -> None:
    async def scene(leaving: Leaving, ledger: Ledger, stream: Stream, peer: socket.socket) -> None:
        leaving.add(CLIENT, stream)
        assert leaving.clients == [CLIENT]
        assert ledger.total_bytes == stream.unsent_bytes > 3 * MIB
        assert await in_thread(read_to_the_end, peer) == 4 * MIB
        await until(lambda: not leaving.clients)
        assert ledger.total_bytes == 0

    play(scene)


def test_all_are_closed_at_the_end() -> None:
    async def scene(leaving: Leaving, ledger: Ledger, stream: Stream, peer: socket.socket) -> None:
        ours, other = socket.socketpair()
        with other:
            another = Heard().stream(SocketEnd(ours))
            another.write(bytes(4 * MIB))
            leaving.add(CLIENT, stream)
            leaving.add(CLIENT, another)
            assert leaving.clients == [CLIENT, CLIENT]
            leaving.close()
            assert another.is_closed

    play(scene)


def read_to_the_end(peer: socket.socket) -> int:
    count = 0
    while data := peer.recv(MIB):
        count += len(data)
    return count


def test_one_to_which_nothing_is_due_is_not_waited_for() -> None:
    async def scene(leaving: Leaving, ledger: Ledger, stream: Stream, peer: socket.socket) -> None:
        ours, other = socket.socketpair()
        with other:
            leaving.add(CLIENT, Heard().stream(SocketEnd(ours)))
            assert other.recv(1) == b""
        assert leaving.clients == []
        stream.close()

    play(scene)


def test_client_that_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "_STALLED_S", 0.05)
    monkeypatch.setattr(module, "_LOOK_S", 0.01)

    async def scene(leaving: Leaving, ledger: Ledger, stream: Stream, peer: socket.socket) -> None:
        leaving.add(CLIENT, stream)
        await until(lambda: stream.is_closed)

    play(scene)
    reason = "it has left, and for 0.05 s it has not read what is still due to it"
    assert caplog.messages == [f"disconnected a client at unix:/l: /bin/tool (pid 7, uid 5): {reason}"]


def test_client_that_reads_slowly_gets_all(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Also where it takes longer than one may take that does not read."""
    monkeypatch.setattr(module, "_STALLED_S", 1.0)
    monkeypatch.setattr(module, "_LOOK_S", 0.01)

    async def scene(leaving: Leaving, ledger: Ledger, stream: Stream, peer: socket.socket) -> None:
        leaving.add(CLIENT, stream)
        loop = asyncio.get_running_loop()
        began_s, count = loop.time(), 0
        while loop.time() - began_s < 1.5:
            count += len(peer.recv(1024))
            await asyncio.sleep(0.002)
        noted_bytes = ledger.total_bytes
        assert stream.unsent_bytes <= noted_bytes < 4 * MIB
        assert count + await in_thread(read_to_the_end, peer) == 4 * MIB

    play(scene)
    assert caplog.messages == []


def test_those_that_leave_share_the_memory_with_all(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(leaving: Leaving, ledger: Ledger, stream: Stream, peer: socket.socket) -> None:
        leaving.add(CLIENT, stream)
        ledger.note("another", 2 * MIB, lambda: pytest.fail("it has less"))
        assert stream.is_closed
        ledger.forget("another")

    play(scene, most_bytes=5 * MIB)
    why = "what is queued for all clients is too much (--total-buffer)"
    assert caplog.messages == [f"disconnected a client at unix:/l: /bin/tool (pid 7, uid 5): {why}"]


def test_those_that_are_disconnected_again_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(leaving: Leaving, ledger: Ledger, stream: Stream, peer: socket.socket) -> None:
        for reason in ("first", "second", "third"):
            leaving.disconnect(CLIENT, stream, reason)

    play(scene)
    assert caplog.messages == [
        "disconnected a client at unix:/l: /bin/tool (pid 7, uid 5): first",
        "disconnected more clients at unix:/l: 2 within a minute, the last of them /bin/tool (pid 7, uid 5): third",
    ]


async def half_closed(qemu: FakeQEMU, path: str) -> RawClient:
    """Return a client that has 1 MiB to read, has sent its last command, and does not read."""
    client = await connected(path)
    for _ in range(32):
        await qemu.send_event("BIG", {"text": "x" * 32 * 1024})
    client.send(command_bytes("query-name"))
    client.half_close()
    return client


def test_half_closed_client_that_does_not_read_has_its_place(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await half_closed(qemu, server.path) as leaver, await connected(server.path) as other:
            await until(lambda: "client gone" in caplog.text)
            with await in_thread(RawClient.connect, server.path) as third:
                assert await in_thread(third.expect_eof) == b""
            assert "its user has as many clients as --max-user-clients allows: 2" in caplog.text
            assert (await in_thread(leaver.expect_eof)).endswith(b'"return": {}}\r\n')
            assert await in_thread(other.returned, "query-status") is not None
            (await connected(server.path)).close()

    played(scene, None, "--max-user-clients", "2")


def test_place_is_kept_when_qemu_goes_and_comes(caplog: pytest.LogCaptureFixture) -> None:
    """Else whoever has QEMU start anew could hold as many more each time."""

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as stuck:
            for _ in range(32):
                await qemu.send_event("BIG", {"text": "x" * 32 * 1024})
            qemu.disconnect()
            await until(lambda: qemu.client_count == 2)
            with await connected(server.path), await in_thread(RawClient.connect, server.path) as third:
                assert await in_thread(third.expect_eof) == b""
            heard = await in_thread(stuck.expect_eof)
            assert heard.count(b'"BIG"') == 32
        assert "this VM has as many clients as --max-clients allows: 2" in caplog.text

    played(scene, None, "--max-clients", "2")

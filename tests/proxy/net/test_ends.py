"""A stream on what is no unix socket: TCP, and pipes."""

import asyncio
import contextlib
import os
import socket
import struct
import threading
from typing import Final

import pytest

from proxy.net.closing import closer
from proxy.net.ends import PipeEnd, SocketEnd
from tests.support.proxy.heard_stream import Heard
from tests.support.proxy.running_vm_proxy import until
from tests.support.raw_client import DEADLINE_S

MIB: Final = 1024 * 1024


def test_reset_shows_as_eof() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            peer = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
        heard = Heard()
        stream = heard.stream(SocketEnd(ours))
        stream.start()
        stream.write(bytes(8 * MIB))
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        await until(lambda: heard.eofs)
        await until(lambda: stream.unsent_bytes == 0)
        assert heard.eofs == 1
        stream.close()

    asyncio.run(run())


def test_tcp_carries_bytes_and_drops_descriptors() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as peer:
            ours, _ = server.accept()
            heard = Heard()
            stream = heard.stream(SocketEnd(ours))
            stream.start()
            peer.sendall(b"to us")
            stream.write(b"to you")
            await until(lambda: heard.data == b"to us")
            assert await asyncio.to_thread(peer.recv, 100) == b"to you"
            stream.close()

    asyncio.run(run())


def test_what_is_unread_takes_nothing_from_the_peer() -> None:
    """A script that was sent whole, say, whose `quit` stands before its end."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as peer:
        ours, _ = server.accept()
        peer.sendall(bytes(50_000))
        end = SocketEnd(ours)
        sent_bytes = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                sent_bytes += end.send(bytes(MIB))
        end.close()
        peer.settimeout(DEADLINE_S)
        assert sum(map(len, iter(lambda: peer.recv(MIB), b""))) == sent_bytes


def test_close_does_not_read_for_ever() -> None:
    """From a peer that sends and sends, as over a unix socket: it is read as fast as it can be written."""
    ours, peer = socket.socketpair()
    peer.settimeout(DEADLINE_S)
    end = SocketEnd(ours, takes_descriptors=False)
    sending = threading.Thread(target=send_without_end, args=(peer,))
    sending.start()
    end.close()
    sending.join(DEADLINE_S)
    assert not sending.is_alive()


def send_without_end(peer: socket.socket) -> None:
    with peer, contextlib.suppress(ConnectionError):
        while True:
            peer.send(bytes(MIB))


def test_pipes_carry_bytes_both_ways() -> None:
    async def run() -> None:
        their_read, our_write = os.pipe()
        our_read, their_write = os.pipe()
        heard = Heard()
        end = PipeEnd(our_read, our_write)
        stream = heard.stream(end)
        stream.start()
        os.write(their_write, b"to us")
        await until(lambda: heard.data == b"to us")
        assert not end.is_peer_gone()
        number = os.open("/dev/null", os.O_RDONLY)
        stream.write(b"alone", (number,))  # a pipe carries no descriptors
        assert os.read(their_read, 100) == b"alone"
        assert closer.finish(DEADLINE_S)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
        stream.write(bytes(MIB))
        assert stream.unsent_bytes > 0
        got = 0
        while got < MIB:
            got += len(await asyncio.to_thread(os.read, their_read, 65536))
        await until(lambda: heard.drains == 1)
        os.close(their_write)
        await until(lambda: heard.eofs == 1)
        stream.write(b"still")
        assert os.read(their_read, 10) == b"still"
        os.close(their_read)
        assert end.is_peer_gone()
        stream.write(b"nobody reads")
        stream.close()
        stream.close()

    asyncio.run(run())


def test_pipe_that_nobody_reads_any_more_is_not_waited_for() -> None:
    async def run() -> None:
        their_read, our_write = os.pipe()
        our_read, their_write = os.pipe()
        stream = Heard().stream(PipeEnd(our_read, our_write))
        stream.write(bytes(MIB))
        assert stream.unread_bytes == (stream.unsent_bytes, 0)
        stream.finish(lambda: None)
        os.close(their_read)
        await until(lambda: stream.is_closed)
        os.close(their_write)

    asyncio.run(run())

"""What QEMU takes for typed of what a telnet client sends (5.2, 7.2 and 11.1), and an end whose client is one."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from proxy.net.closing import closer
from proxy.net.ends import PipeEnd, SocketEnd
from proxy.net.stream import Stream
from proxy.net.telnet import NEGOTIATION, TelnetEnd, TelnetFilter
from tests.support.proxy.heard_stream import Heard
from tests.support.proxy.running_vm_proxy import in_thread, until
from tests.support.raw_client import DEADLINE_S

MIB: Final = 1024 * 1024

SAID: Final = {
    "none": (b"info\r\n\r\0", b"info\r\n\r\0"),
    "option": (b"a\xff\xfb\x18b", b"ab"),
    "doubled": (b"a\xff\xffb", b"a\xffb"),
    "break": (b"a\xff\xf3b", b"ab"),
    "command of two bytes": (b"a\xff\xf1bc", b"ac"),
    "window size": (b"x\xff\xfa\x1f\x00P\x00\x18\xff\xf0y", b"x\x00P\x00\x18"),
    "option 255": (b"a\xff\xfd\xffb", b"ab"),
    "option of a break": (b"a\xff\xfd\xf3b", b"ab"),
    "twice": (b"\xff\xff\xff\xff", b"\xff\xff"),
    "doubled before an option": (b"\xff\xff\xff\xfb\x18", b"\xff"),
    "all options": (NEGOTIATION, b""),
}


@pytest.mark.parametrize("name", SAID)
def test_typed(name: str) -> None:
    """However it is cut."""
    said, typed = SAID[name]
    for first in range(len(said) + 1):
        for second in range(first, len(said) + 1):
            telnet = TelnetFilter()
            assert b"".join(map(telnet.typed, (said[:first], said[first:second], said[second:]))) == typed


def test_half_a_command_waits_for_the_rest() -> None:
    telnet = TelnetFilter()
    assert telnet.typed(b"a\xff") == b"a"
    assert telnet.typed(b"\xfb") == b""
    assert telnet.typed(b"bc") == b"c"


def played(scene: Callable[[Heard, Stream, socket.socket], Awaitable[None]]) -> None:
    """Play a scene with a stream, and its client's socket."""

    async def run() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.settimeout(DEADLINE_S)
            heard = Heard()
            stream = heard.stream(TelnetEnd(SocketEnd(ours)))
            stream.start()
            await scene(heard, stream, theirs)
            stream.close()

    asyncio.run(run())


def test_negotiation_goes_before_all_else() -> None:
    async def scene(heard: Heard, stream: Stream, theirs: socket.socket) -> None:
        stream.write(b"greeting\r\n")
        stream.write(b"\xff")
        assert await in_thread(theirs.recv, 100) == NEGOTIATION + b"greeting\r\n\xff"

    played(scene)


def test_what_is_said_of_options_is_not_heard() -> None:
    async def scene(heard: Heard, stream: Stream, theirs: socket.socket) -> None:
        for said in (NEGOTIATION, b"ab\xff", b"\xfb\x18", b"c"):
            theirs.sendall(said)
        await until(lambda: heard.data == b"abc")
        theirs.shutdown(socket.SHUT_WR)
        await until(lambda: heard.eofs)
        assert not heard.failures

    played(scene)


def test_end_that_comes_in_the_middle_of_a_command_is_heard() -> None:
    async def scene(heard: Heard, stream: Stream, theirs: socket.socket) -> None:
        theirs.sendall(b"\xff")
        theirs.shutdown(socket.SHUT_WR)
        await until(lambda: heard.eofs)
        assert heard.data == b""
        assert not stream.end.is_peer_gone()

    played(scene)


def test_descriptors_come_with_what_is_typed() -> None:
    """Where nothing is, they are closed."""

    async def scene(heard: Heard, stream: Stream, theirs: socket.socket) -> None:
        reader, writer = socket.socketpair()
        with reader:
            reader.settimeout(DEADLINE_S)
            socket.send_fds(theirs, [NEGOTIATION], [writer.fileno()])
            writer.close()
            assert await in_thread(reader.recv, 1) == b""
        number = os.open("/dev/null", os.O_RDONLY)
        socket.send_fds(theirs, [b"getfd\xff\xfb\x18"], [number])
        os.close(number)
        await until(lambda: heard.pieces)
        ((data, (passed,)),) = heard.pieces
        assert data == b"getfd"
        stream.write(b"first", (passed,))
        # The kernel joins what was sent without descriptors to what follows.
        received, numbers, *_ = await in_thread(socket.recv_fds, theirs, 100, 1)
        assert (received, len(numbers)) == (NEGOTIATION + b"first", 1)
        assert closer.finish(DEADLINE_S)
        for taken in numbers:
            os.close(taken)

    played(scene)


def test_negotiation_waits_where_there_is_no_room_for_it() -> None:
    async def run() -> None:
        their_read, our_write = os.pipe()
        our_read, their_write = os.pipe()
        os.set_blocking(our_write, False)
        filled = os.write(our_write, bytes(MIB))
        stream = Heard().stream(TelnetEnd(PipeEnd(our_read, our_write)))
        stream.write(b"greeting")
        assert stream.unsent_bytes == len(b"greeting")
        read = b""
        while len(read) < filled + len(NEGOTIATION + b"greeting"):
            read += await in_thread(os.read, their_read, 65536)
        assert read[filled:] == NEGOTIATION + b"greeting"
        stream.close()
        os.close(their_read)
        os.close(their_write)

    asyncio.run(run())

"""Messages with descriptors from one process to another."""

import asyncio
import os
import socket
from typing import Any, Final

import pytest

from proxy.handover import channel as channel_module
from proxy.handover.channel import Channel, close_all
from tests.support.processes.running_daemon import run
from tests.support.raw_client import DEADLINE_S

MIB: Final = 1 << 20


def ends() -> tuple[Channel, Channel]:
    one, other = socket.socketpair()
    return Channel(one), Channel(other)


@pytest.mark.parametrize("count", [0, 1, 200, 401])
def test_message_comes_with_its_descriptors(count: int) -> None:
    async def main() -> None:
        one, other = ends()
        read, write = os.pipe()
        message: dict[str, Any] = {"some": "\udc80text", "long": "x" * MIB}
        try:
            sending = asyncio.create_task(one.send(message, [write] * count))
            heard, numbers = await other.receive()
            await sending
            assert heard == message
            assert len(numbers) == count
            assert {os.fstat(number).st_ino for number in numbers} <= {os.fstat(write).st_ino}
            close_all(numbers)
            await one.send({"next": 1})
            assert await other.receive() == ({"next": 1}, [])
        finally:
            close_all([read, write])
            one.close()
            other.close()

    run(main)


def test_end_of_the_other_process() -> None:
    async def main() -> None:
        one, other = ends()
        await other.send({})
        other.close()
        assert await one.receive() == ({}, [])
        with pytest.raises(EOFError):
            await one.receive()
        with pytest.raises(OSError, match="Broken pipe"):
            await one.send({})
        one.close()

    run(main)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"\xff\xff\xff\xff\0\0\0\0", ValueError),
        (b"\0\0\0\2\0\0\0\0[]", ValueError),
        (b"\0\0\0\2\0\0\0\0{]", ValueError),
        (b"\0\0\0\2\0\0\0\1{}", EOFError),
        (b"\0\0\0\2\0\0\0\1{}\0", OSError),
        (b"\0\0\0\2", EOFError),
    ],
)
def test_what_is_no_message(raw: bytes, error: type[Exception]) -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        channel = Channel(one)
        other.sendall(raw)
        other.close()
        with pytest.raises(error):
            await channel.receive()
        channel.close()

    run(main)


def test_refusal_arrives_whatever_the_other_end_still_says() -> None:
    """A socket that is closed with something unread in it resets the connection."""

    async def main() -> None:
        one, other = ends()
        refusing = asyncio.create_task(one.refuse("not now", DEADLINE_S))
        assert await other.receive() == ({"refused": "not now"}, [])
        for _ in range(3):
            await other.send({"hello": "x" * MIB}, [0])
        with pytest.raises(EOFError):
            await other.receive()
        assert not refusing.done()
        other.close()
        await refusing

    run(main)


def test_refused_end_that_stays_is_waited_for_no_longer_than_that() -> None:
    async def main() -> None:
        one, other = ends()
        await one.refuse("not now", 0.01)
        assert await other.receive() == ({"refused": "not now"}, [])
        with pytest.raises(EOFError):
            await other.receive()
        other.close()
        one, other = ends()
        other.close()
        await one.refuse("not now", DEADLINE_S)

    run(main)


def test_descriptors_that_have_come_are_closed_if_the_rest_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "DESCRIPTORS_AT_ONCE", 1)

    async def main() -> None:
        one, other = socket.socketpair()
        channel = Channel(one)
        read, write = os.pipe()
        other.sendall(b"\0\0\0\2\0\0\0\2{}")
        socket.send_fds(other, [b"\0"], [write])
        other.close()
        os.close(write)
        with pytest.raises(EOFError):
            await channel.receive()
        # Its last copy is closed.
        assert os.read(read, 1) == b""
        os.close(read)
        channel.close()

    run(main)


def test_descriptors_for_which_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "_ANCILLARY_BYTES", socket.CMSG_SPACE(4))

    async def main() -> None:
        one, other = ends()
        sending = asyncio.create_task(one.send({}, [0, 1, 2]))
        with pytest.raises(OSError, match="too few files may be open"):
            await other.receive()
        await sending
        one.close()
        other.close()

    run(main)


def test_descriptors_wait_for_room() -> None:
    """A pipe that is full of other messages."""

    async def main() -> None:
        one, other = ends()
        sending = [asyncio.create_task(one.send({"number": number}, [0] * 300)) for number in range(300)]
        for number in range(300):
            message, numbers = await other.receive()
            assert message == {"number": number}
            close_all(numbers)
        for task in sending:
            await task
        one.close()
        other.close()

    run(main)

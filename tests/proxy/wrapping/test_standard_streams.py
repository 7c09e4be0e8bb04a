"""Standard input and output as a connection, whatever they are."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.net.ends import End, shared_buffer
from proxy.wrapping.standard_streams import standard_end
from tests.support.standard_input import standard_input


@contextmanager
def output() -> Iterator[int]:
    """Where standard output can be read."""
    reader, writer = os.pipe()
    kept = os.dup(1)
    os.dup2(writer, 1)
    os.close(writer)
    try:
        yield reader
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(reader)


async def received(end: End) -> list[bytes]:
    """Read, whenever there is something, to the end."""
    loop, found, over = asyncio.get_running_loop(), [], asyncio.Event()

    def read() -> None:
        count, _ = end.receive()
        found.append(bytes(shared_buffer[:count]))
        if not count:
            loop.remove_reader(end.read_fd())
            over.set()

    loop.add_reader(end.read_fd(), read)
    await over.wait()
    return found


def check(expected: bytes) -> None:
    async def run(told: int) -> None:
        end = standard_end()
        try:
            assert end.send(b"told") == 4
            assert os.read(told, 4) == b"told"
            assert b"".join(await received(end)) == expected
            assert not end.is_peer_gone()
        finally:
            end.close()

    with output() as told:
        asyncio.run(run(told))
    # They are copies.
    os.fstat(0)
    os.fstat(1)


def test_pipe_is_read_to_its_end() -> None:
    with standard_input(b"typed"):
        check(b"typed")


@pytest.mark.parametrize("text", ["", "typed"])
def test_file_is_read_to_its_end(text: str, tmp_path: Path) -> None:
    with standard_input(b""):
        name = tmp_path / "typed"
        name.write_text(text)
        number = os.open(name if text else os.devnull, os.O_RDONLY)
        os.dup2(number, 0)
        os.close(number)
        check(text.encode())

"""Shell commands that are fed a text, while the event loop goes on.

The text is the command's standard input, as a file in memory. So a command need not read all of it (`head`, or a pager that is
left early), and nobody has to write to it meanwhile.
"""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import STDOUT, Process
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import IO, Final

__all__ = ["Ended", "feed", "feed_behind", "status_text"]

# How much output of a command without the terminal is kept.
_MOST_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 16
# Exit statuses with which the shell itself has reported that it cannot run a command (POSIX, "Exit Status for Commands").
_NOT_RUN: Final = frozenset({126, 127})
_SIGNALLED: Final = 128


@dataclass(frozen=True, slots=True)
class Ended:
    """How a shell command ended. status: negative for a signal. text: what it printed, if it was not for the terminal."""

    status: int
    text: str = ""

    @property
    def was_not_run(self) -> bool:
        return self.status in _NOT_RUN

    @property
    def was_interrupted(self) -> bool:
        return self.status in (-signal.SIGINT, _SIGNALLED + signal.SIGINT)


def status_text(command: str, ended: Ended) -> str:
    """Return how a command that failed has ended."""
    if ended.status >= 0:
        return f"'{command}' ended with status {ended.status}"
    with contextlib.suppress(ValueError):  # a realtime signal has no name
        return f"'{command}' was ended by {signal.Signals(-ended.status).name}"
    return f"'{command}' was ended by signal {-ended.status}"


async def feed(command: str, text: str, environment: Mapping[str, str] | None = None) -> Ended:
    """Run a command that has the terminal, including Ctrl-C. Raises OSError or ValueError if no shell can run it.

    If the caller is cancelled, the command is terminated.
    """
    with _as_input(text) as file:
        process = await asyncio.create_subprocess_shell(command, stdin=file, env=environment)
    try:
        return Ended(await process.wait())
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def feed_behind(command: str, text: str) -> Ended:
    """Run a command without the terminal, and return what it prints. Raises as `feed` does.

    It is killed, with everything that it has started, if it prints too much, or if the caller is cancelled.
    """
    async with _pipe() as (reader, writing_end):
        try:
            with _as_input(text) as file:
                process = await _started(command, file, writing_end)
        finally:
            os.close(writing_end)
        is_over = False
        try:
            printed = await _read(reader)
            if len(printed) < _MOST_BYTES:
                await process.wait()
                is_over = True
        finally:
            if not is_over:
                _kill_all(process)
            await process.wait()
    return Ended(await process.wait(), printed.decode(errors="replace"))


@contextmanager
def _as_input(text: str) -> Iterator[IO[bytes]]:
    """Provide a text as a file in memory. A pipe would have to be filled while the command reads, which it may not do."""
    with os.fdopen(os.memfd_create("hmp-repl"), "w+b") as file:
        file.write(text.encode(errors="surrogatepass"))
        file.seek(0)
        yield file


async def _started(command: str, text: IO[bytes], output: int) -> Process:
    """Start a command in a session of its own. If cancelled, wait until it has started, so that it can be killed."""
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_shell(command, stdin=text, stdout=output, stderr=STDOUT, start_new_session=True)
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        process = await starting
        _kill_all(process)
        await process.wait()
        raise


def _kill_all(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@asynccontextmanager
async def _pipe() -> AsyncIterator[tuple[asyncio.StreamReader, int]]:
    """Make a pipe, read here until the context ends, no matter who still has its writing end, which the caller closes."""
    reading_end, writing_end = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading_end, "rb", buffering=0)
    )
    try:
        yield reader, writing_end
    finally:
        transport.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    printed = bytearray()
    while len(printed) < _MOST_BYTES and (data := await reader.read(_READ_BYTES)):
        printed += data
    return bytes(printed[:_MOST_BYTES])

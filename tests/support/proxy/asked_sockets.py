"""Both ends of a socket at which a proxy is asked."""

import asyncio
import json
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from host.net.addresses import UnixAddress
from proxy.control.server import AskedSocket, Place
from tests.support.raw_client import DEADLINE_S

__all__ = ["connected", "here", "short_folder", "started", "talk", "told"]


@contextmanager
def short_folder() -> Iterator[Path]:
    """Unix socket paths end at 107 bytes (unix(7)), so not pytest's tmp_path."""
    path = Path(tempfile.mkdtemp(prefix="c", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def here(path: Path) -> Place:
    return Place(UnixAddress(str(path)))


@asynccontextmanager
async def started(asked: AskedSocket) -> AsyncIterator[None]:
    """Serve there meanwhile."""
    asked.start()
    try:
        yield
    finally:
        await asked.close()


def connected(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(DEADLINE_S)
    sock.connect(str(path))
    return sock


def talk(path: Path, said: bytes) -> bytes:
    """Say something, and return what comes up to the end."""
    with connected(path) as sock, sock.makefile("rb") as file:
        with suppress(BrokenPipeError):  # it may have hung up already
            sock.sendall(said)
        return file.read()


async def told(path: Path, command: str, **members: Any) -> Any:
    """Ask at a control socket; return what is told, or the text of an error."""
    line = await asyncio.to_thread(talk, path, json.dumps({"command": command, **members}).encode() + b"\n")
    answer = json.loads(line)
    return answer.get("error") or answer["return"]

"""A link of the prompt, and all that comes by itself on it."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from host.net.addresses import TCPAddress, UnixAddress
from repl.errors import LostError
from repl.link import Event, Link
from shim.decisions.own_commands import QUERY_PROXY
from shim.qmp import Execute, Reply
from tests.fakes.wire import Framer
from tests.support.raw_client import DEADLINE_S
from tests.support.routing.pure_router import greeting

__all__ = ["NO_PROXY", "Seen", "obeying", "seeing", "served"]

READ_BYTES = 64 * 1024
NO_PROXY = {"error": {"class": "CommandNotFound", "desc": "not found"}}


@dataclass
class Seen:
    """A link, and all that came by itself, in its order."""

    link: Link
    things: list[Event | LostError | str] = field(default_factory=list)

    @property
    def events(self) -> list[str]:
        return [thing.name for thing in self.things if isinstance(thing, Event)]

    @property
    def losses(self) -> list[LostError]:
        return [thing for thing in self.things if isinstance(thing, LostError)]

    async def execute(self, *commands: Execute) -> list[Reply]:
        replies = [timed.reply for timed in await self.link.execute(commands)]
        self.things += ["reply"] * len(replies)
        return replies


@asynccontextmanager
async def seeing(address: UnixAddress | TCPAddress) -> AsyncIterator[Seen]:
    seen: Seen
    seen = Seen(Link(address, on_event=lambda event: seen.things.append(event), on_lost=lambda loss: seen.things.append(loss)))
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield seen
    finally:
        await seen.link.close()


Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def obeying(answer: Callable[[str], dict[str, Any]]) -> Serve:
    """Be a QMP server that answers each command so, and is no proxy."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer = Framer()
        writer.write(greeting())
        while received := await reader.read(READ_BYTES):
            for _, message in framer.feed(received):
                name = message["execute"]
                known: dict[str, dict[str, Any]] = {"qmp_capabilities": {"return": {}}, QUERY_PROXY: NO_PROXY}
                reply = known[name] if name in known else answer(name)
                own = {"id": message["id"]} if "id" in message else {}
                writer.write(json.dumps(reply | own).encode() + b"\r\n")
        writer.close()

    return serve


async def served(serve: Serve, scene: Callable[[Seen], Awaitable[None]]) -> None:
    """Run a scene with a link that is connected to such a server."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        server = await asyncio.start_unix_server(serve, f"{folder}/s")
        async with server, seeing(UnixAddress(f"{folder}/s")) as seen:
            await seen.link.connect()
            await scene(seen)

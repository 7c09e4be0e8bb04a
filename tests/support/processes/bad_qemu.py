"""A QEMU that misbehaves as badly as it can, over and over. As a program: `bad_qemu.py KIND PATH` listens there."""

import asyncio
import json
import sys
from contextlib import suppress
from enum import StrEnum
from typing import Final, Self

from tests.fakes.wire import spell

__all__ = ["BadQEMU", "Kind"]

_GREETING: Final = spell(
    {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "bad"}, "capabilities": ["oob"]}}
)
_EVENTS: Final = spell({"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RTC_CHANGE", "data": {"offset": 1}}) * 500
_NONSENSE: Final = b'}{ "return": nothing, \xff\xfe [[[[ "event"\r\n' * 100
_COMMANDS: Final = ("query-commands", "query-name", "query-jobs", "human-monitor-command", "snapshot-save")


class Kind(StrEnum):
    """NOISE comes in place of a greeting, NONSENSE in place of the answers behind the negotiation, and LIES are answers that
    nobody asked for. SILENT greets nobody, MUTE does not negotiate, STUCK answers nothing behind that. FLOODING sends events as
    fast as it is read, and FLAPPING ends each connection once it has negotiated.
    """

    NOISE = "noise"
    NONSENSE = "nonsense"
    LIES = "lies"
    SILENT = "silent"
    MUTE = "mute"
    STUCK = "stuck"
    FLOODING = "flooding"
    FLAPPING = "flapping"


class BadQEMU:
    """Listens at a path while its context lasts. deeds: how often it has misbehaved."""

    def __init__(self, kind: Kind, path: str) -> None:
        self._kind = kind
        self._path = path
        self._tasks: set[asyncio.Task[None]] = set()
        self.deeds = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError):
                await self._misbehave(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _misbehave(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.deeds += 1
        match self._kind:
            case Kind.NOISE:
                writer.write(_NONSENSE)
                await writer.drain()
            case Kind.SILENT:
                await reader.read()
            case Kind.MUTE:
                writer.write(_GREETING)
                await reader.read()
            case _:
                await self._negotiate(reader, writer)
                await self._go_on(reader, writer)

    async def _negotiate(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_GREETING)
        values: list[object] = [{}, [{"name": name} for name in _COMMANDS], {}]
        for value in values:
            writer.write(spell({"return": value, "id": await _next_id(reader)}))
        await writer.drain()

    async def _go_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match self._kind:
            case Kind.STUCK:
                await reader.read()
            case Kind.FLOODING:
                while True:
                    writer.write(_EVENTS)
                    await writer.drain()
                    self.deeds += 1
            case Kind.LIES:
                while True:
                    writer.write(spell({"return": {}, "id": "nobody's"}) * 100)
                    await writer.drain()
                    self.deeds += 1
            case Kind.NONSENSE:
                writer.write(_NONSENSE)
                await writer.drain()
                await reader.read()
            case _:
                pass


async def _next_id(reader: asyncio.StreamReader) -> object:
    line = await reader.readline()
    if not line:
        raise ConnectionResetError
    return json.loads(line).get("id")


async def _main(kind: str, path: str) -> None:
    async with BadQEMU(Kind(kind), path):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))

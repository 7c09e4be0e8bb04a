"""The relay that one writes in an afternoon: qemu.qmp's QMPClient towards QEMU, asyncio streams and json towards clients.

`python -m bench.relay UPSTREAM LISTEN`, both paths of unix sockets.
"""

import asyncio
import json
import sys
from typing import Any

from qemu.qmp import EventListener, ExecuteError, QMPClient

__all__ = ["main"]

# Longer than the longest command of the benchmark.
_LINE_BYTES = 16 * 1024 * 1024
_GREETING = {"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": 0}, "package": "relay"}, "capabilities": []}}


class _Relay:
    def __init__(self, client: QMPClient) -> None:
        self._client = client
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await _send(writer, _GREETING)
            while line := await reader.readline():
                await _send(writer, await self._reply(json.loads(line)))
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _reply(self, command: dict[str, Any]) -> dict[str, Any]:
        own_id = {"id": command["id"]} if "id" in command else {}
        if command["execute"] == "qmp_capabilities":
            return {"return": {}} | own_id
        message = self._client.make_execute_msg(command["execute"], command.get("arguments"))
        try:
            return {"return": await self._client.execute_msg(message)} | own_id
        except ExecuteError as exc:
            return {"error": {"class": exc.error_class, "desc": str(exc)}} | own_id

    async def pass_events_on(self, listener: EventListener) -> None:
        async for event in listener:
            for writer in list(self._writers):
                await _send(writer, dict(event))


async def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    writer.write(json.dumps(message).encode() + b"\r\n")
    await writer.drain()


async def _run(upstream: str, listen: str) -> None:
    client = QMPClient("bench")
    await client.connect(upstream)
    relay = _Relay(client)
    with client.listener() as listener:
        server = await asyncio.start_unix_server(relay.serve, listen, limit=_LINE_BYTES)
        async with server:
            await relay.pass_events_on(listener)


def main() -> None:
    """Relay until killed."""
    asyncio.run(_run(*sys.argv[1:]))


if __name__ == "__main__":
    main()

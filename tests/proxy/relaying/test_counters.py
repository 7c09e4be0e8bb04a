"""What was sent is fetched from who counted it, and never twice."""

import asyncio
import socket
from dataclasses import replace

from proxy.net.ends import SocketEnd
from proxy.relaying.counters import Counters
from tests.support.proxy.heard_stream import Heard
from tests.support.routing.pure_router import NAME, Desk


def test_each_byte_and_command_is_fetched_once() -> None:
    async def main() -> None:
        desk, counters = Desk(), Counters()
        client = desk.client()
        client.owed_count = 0
        desk.send(client, NAME + NAME)
        ours, theirs = socket.socketpair()
        with theirs:
            stream = Heard().stream(SocketEnd(ours))
            stream.read_bytes = 100
            for _ in range(2):
                counters.fetch_client(client, stream)
            assert (counters.commands, counters.from_clients_bytes) == (2, 100)
            stream.read_bytes = stream.unsent_bytes = 7
            desk.dispatcher.pending.local_count = 1
            for _ in range(2):
                counters.fetch_qemu(stream, desk.dispatcher.pending)
            stream.unsent_bytes = 0
            assert (counters.commands, counters.from_qemu_bytes, counters.unsent_to_qemu_bytes) == (1, 7, 7)
            stream.close()

    asyncio.run(main())


def test_what_the_proxy_asks_itself_is_no_clients() -> None:
    async def main() -> None:
        desk, counters = Desk(), Counters()
        client = desk.client()
        client.client = replace(client.client, is_proxy=True)
        ours, theirs = socket.socketpair()
        with theirs:
            stream = Heard().stream(SocketEnd(ours))
            stream.read_bytes = 100
            counters.fetch_client(client, stream)
            assert (counters.commands, counters.from_clients_bytes, stream.read_bytes) == (0, 0, 0)
            stream.close()

    asyncio.run(main())

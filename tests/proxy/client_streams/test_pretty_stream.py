"""A client that gets QMP's pretty form: of all that is written to it, and of nothing that it sends."""

import asyncio
import json
import socket
from functools import partial
from typing import Final

import pytest

from proxy.client_streams.pretty_stream import PrettyStream
from proxy.net.ends import SocketEnd
from shim.qmp import encode_pretty
from tests.fakes.qemu import FakeQEMU, Faults, two_disks
from tests.support.proxy.heard_stream import Heard
from tests.support.proxy.running_vm_proxy import RunningServer, in_thread, until
from tests.support.raw_client import DEADLINE_S, RawClient

MIB: Final = 1024 * 1024
EMPTY: Final = b'{\r\n    "return": {\r\n    }\r\n}\r\n'


def received(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = client.recv(size)
        assert piece, data
        data += piece
    return data


def test_stream_writes_the_pretty_form_and_reads_what_comes() -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.settimeout(DEADLINE_S)
            heard = Heard()
            stream = heard.stream(SocketEnd(ours), partial(PrettyStream, most_unsent_bytes=MIB))
            stream.start()
            stream.write(memoryview(b'{"return": {'))
            stream.write(b"}}\r\n")
            assert await in_thread(received, theirs, len(EMPTY)) == EMPTY
            theirs.sendall(b'{"execute": "quit"}')
            await until(lambda: heard.data)
            assert heard.data == b'{"execute": "quit"}'
            stream.close()

    asyncio.run(run())


def test_client_that_has_itself_sent_deep_ids_is_not_worth_all_memory() -> None:
    """QEMU's answers to them are short until they are indented."""

    async def run() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            stream = Heard().stream(SocketEnd(ours), partial(PrettyStream, most_unsent_bytes=MIB))
            stream.write(b'{"return": {}, "id": %b}\r\n' % (b"[" * 1000 + b"]" * 1000) * 100)
            assert MIB < stream.unsent_bytes < 20 * MIB
            stream.close()

    asyncio.run(run())


def conversation(client: RawClient) -> list[bytes]:
    """Return what QEMU and the proxy say: events, answers of both, errors of both."""
    client.negotiate()
    assert client.hmp("savevm t") == ""
    assert client.execute("query-status", id=[{}])["id"] == [{}]
    assert client.execute("human-monitor-command", {"command-line": "info block"})["error"]
    assert client.returned("__hmpshim_query-proxy")
    client.send(b"nonsense\n")
    client.read_until_reply()
    return client.transcript


@pytest.mark.parametrize("is_qemu_pretty", [False, True])
@pytest.mark.parametrize("faults", [Faults(), Faults(piece_bytes=7)], ids=["whole", "in pieces"])
def test_client_gets_everything_in_the_pretty_form(faults: Faults, is_qemu_pretty: bool) -> None:
    """Whichever form QEMU's own monitor has."""

    async def run() -> list[bytes]:
        async with FakeQEMU(two_disks(), faults=faults, pretty=is_qemu_pretty) as qemu:
            options = ["--pretty", "on", "--rule", "deny human-monitor-command: info block"]
            async with RunningServer(f"unix:{qemu.path}", *options) as server:
                with RawClient.connect(server.path, pretty=True) as client:
                    return await in_thread(conversation, client)

    messages = asyncio.run(run())
    assert messages == [f"{encode_pretty(json.loads(message))}\r\n".encode() for message in messages]
    assert [json.loads(message).get("event") for message in messages if b"event" in message] == ["STOP", "RESUME"]
    assert len(messages) == 1 + 6 + 2

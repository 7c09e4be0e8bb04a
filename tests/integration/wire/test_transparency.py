"""Clients of every shape, on QEMU itself and through `hmp-proxy`: the bytes that they receive are the same.

Two machines alike, one for each way, live side by side. Made equal is only what differs between any two runs of QEMU: the times
of events and the random node names `#block123`.
"""

import asyncio
import json
import os
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from qemu.qmp import EventListener, ExecuteError, QMPClient

from tests.fakes.qemu import FakeQEMU, two_disks
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import IDLE_ROM, QEMUVM, make_qcow2, make_raw
from tests.integration.wire.shapes import CONVERSATIONS, Conversation, command, hmp
from tests.support.raw_client import RawClient

pytestmark = pytest.mark.versions

_TIMESTAMP: Final = re.compile(rb'("timestamp": \{\s*"seconds": )\d+(,\s*"microseconds": )\d+')
_NODE_NAME: Final = re.compile(rb"#block\d+")
NEGOTIATE: Final = command("qmp_capabilities")


@dataclass(frozen=True, slots=True)
class Twin:
    """One machine, and the way to it."""

    connect: Callable[[], RawClient]
    path: str
    vm: QEMUVM

    @contextmanager
    def negotiated(self) -> Iterator[RawClient]:
        with self.connect() as client:
            client.negotiate()
            yield client

    def tags(self) -> list[str]:
        """Return the tags of the snapshots, seen from another monitor once the commands under way are done."""
        with self.vm.negotiated(observer=True) as observer:
            (disk,) = observer.returned("query-block")
            return [row["name"] for row in disk["inserted"]["image"].get("snapshots", [])]


@dataclass(frozen=True, slots=True)
class Twins:
    native: Twin
    proxied: Twin

    def both(self, play: Callable[[Twin], Any]) -> tuple[Any, Any]:
        return play(self.native), play(self.proxied)


def _machine(*, pretty: bool) -> QEMUVM:
    vm = QEMUVM(["-bios", "idle.rom", "-drive", "file=d0.qcow2,if=virtio"], observed=True, pretty=pretty)
    make_raw(vm.path("idle.rom"), len(IDLE_ROM), content=IDLE_ROM)
    make_qcow2(vm.path("d0.qcow2"))
    return vm


@contextmanager
def _twins(*, pretty: bool = False, pretty_at_listener: bool = False) -> Iterator[Twins]:
    """pretty: QEMU's monitors are. pretty_at_listener: only the native one is, and the proxy's listener."""
    options = ["--pretty", "on"] if pretty_at_listener else []
    with ExitStack() as stack:
        native = stack.enter_context(_machine(pretty=pretty or pretty_at_listener))
        proxied = stack.enter_context(_machine(pretty=pretty))
        process = ProxyProcess(proxied.folder, proxied.qmp_path, options, pretty=pretty or pretty_at_listener)
        proxy = stack.enter_context(process)
        yield Twins(Twin(native.connect, native.qmp_path, native), Twin(proxy.connect, proxy.path, proxied))


@pytest.fixture(scope="module")
def twins() -> Iterator[Twins]:
    with _twins() as pair:
        yield pair


@pytest.fixture(scope="module")
def pretty_twins() -> Iterator[Twins]:
    with _twins(pretty=True) as pair:
        yield pair


@pytest.fixture(scope="module")
def twins_with_a_pretty_listener() -> Iterator[Twins]:
    with _twins(pretty_at_listener=True) as pair:
        yield pair


@pytest.fixture
def fresh_twins() -> Iterator[Twins]:
    """Machines for a conversation that ends them, or that leaves a reply to the next client."""
    with _twins() as pair:
        yield pair


def _normal(message: bytes) -> bytes:
    return _NODE_NAME.sub(b"#block<number>", _TIMESTAMP.sub(rb"\1<seconds>\2<microseconds>", message))


def _converse(twin: Twin, conversation: Conversation) -> list[bytes]:
    """Write each part and wait for its replies; give every message, the greeting and the events too."""
    with twin.connect() as client:
        for part in conversation:
            client.send(part.data)
            for _ in range(part.replies):
                client.read_until_reply()
        return [_normal(message) for message in client.transcript]


@pytest.mark.parametrize("shape", CONVERSATIONS)
def test_a_client_receives_the_same_bytes(shape: str, twins: Twins) -> None:
    native, proxied = twins.both(lambda twin: _converse(twin, CONVERSATIONS[shape]))
    assert proxied == native
    assert len(native) > sum(part.replies for part in CONVERSATIONS[shape])  # the greeting is there


@pytest.mark.parametrize("shape", CONVERSATIONS)
def test_a_client_of_a_pretty_monitor_receives_the_same_bytes(shape: str, pretty_twins: Twins) -> None:
    native, proxied = pretty_twins.both(lambda twin: _converse(twin, CONVERSATIONS[shape]))
    assert proxied == native
    assert native[0].startswith(b'{\r\n    "QMP": {\r\n')


@pytest.mark.parametrize("shape", CONVERSATIONS)
def test_a_client_of_a_pretty_listener_receives_what_a_pretty_monitor_sends(
    shape: str, twins_with_a_pretty_listener: Twins
) -> None:
    native, proxied = twins_with_a_pretty_listener.both(lambda twin: _converse(twin, CONVERSATIONS[shape]))
    assert proxied == native
    assert native[0].startswith(b'{\r\n    "QMP": {\r\n')


# -- Readers -----------------------------------------------------------------------------------------------------------


def test_every_line_ends_with_cr_lf_and_savevm_returns_once(twins: Twins) -> None:
    """libvirt splits at CR LF only; scripts count the lines with "return"; go-qemu's lines end at 64 KiB."""

    def play(twin: Twin) -> bytes:
        with twin.connect() as client:
            client.send(NEGOTIATE + hmp("savevm a") + hmp("delvm a", id="end"))
            while b'"end"' not in client.receive_message():
                pass
            return b"".join(client.transcript)

    for received in twins.both(play):
        lines = received.split(b"\r\n")
        assert lines.pop() == b""
        assert all(json.loads(line) for line in lines)
        assert not any(b"\n" in line or b"\r" in line or len(line) > 65536 for line in lines)
        assert sum(b'"return"' in line for line in lines) == 3


def test_one_read_then_close_does_not_cancel(fresh_twins: Twins) -> None:
    def play(twin: Twin) -> tuple[bytes, list[str]]:
        with twin.connect() as client:
            client.negotiate()
            client.send(hmp("savevm a"))
            received = client.socket.recv(4096)
        return _normal(received), twin.tags()

    native, proxied = fresh_twins.both(play)
    assert proxied == native
    assert b'"STOP"' in native[0]
    assert native[1] == ["a"]


def test_half_close_behind_the_command_does_not_cancel(fresh_twins: Twins) -> None:
    """QEMU itself closes at once when it reads the end; the proxy answers first."""

    def play(twin: Twin) -> tuple[list[bytes], list[str]]:
        with twin.connect() as client:
            client.negotiate()
            client.send(hmp("savevm a"))
            client.half_close()
            received = client.expect_eof()
        return [_normal(line) for line in received.splitlines()], twin.tags()

    native, proxied = fresh_twins.both(play)
    assert proxied[0][: len(native[0])] == native[0]
    assert [name for line in proxied[0] for name in (b"STOP", b"RESUME", b"return") if name in line] == [
        b"STOP", b"RESUME", b"return"
    ]  # fmt: skip
    assert proxied[1] == native[1] == ["a"]


# -- Sockets -----------------------------------------------------------------------------------------------------------


def test_savevm_and_quit_in_one_write(fresh_twins: Twins) -> None:
    def play(twin: Twin) -> bytes:
        with twin.connect() as client:
            client.send(NEGOTIATE + hmp("savevm a", id=1) + command("quit", id=2))
            received = client.expect_eof()
        twin.vm.wait_gone()
        return _normal(received)

    native, proxied = fresh_twins.both(play)
    assert proxied == native
    assert native.count(b'"return"') == 3


@pytest.mark.parametrize("takes", ["getfd", "hmp getfd", "add-fd"])
def test_descriptors_come_with_their_command(takes: str, twins: Twins) -> None:
    getting = {
        "getfd": command("getfd", {"fdname": "f"}, id=1),
        "hmp getfd": hmp("getfd f", id=1),
        "add-fd": command("add-fd", {"fdset-id": 7}, id=1),
    }[takes]
    freeing = command("remove-fd", {"fdset-id": 7}) if takes == "add-fd" else command("closefd", {"fdname": "f"}, id="end")

    def play(twin: Twin) -> list[bytes]:
        with twin.negotiated() as client, open(os.devnull, "rb") as file:
            # Without a descriptor, with one, and with one that an unrelated command brings.
            client.send(getting)
            client.read_until_reply()
            for first in (b"", command("query-name", id=0)):
                socket.send_fds(client.socket, [first + getting], [file.fileno()])
                client.read_until_reply()
                if first:
                    client.read_until_reply()
                client.send(freeing)
                client.read_until_reply()
            # What an earlier client had stopped or started may still be told.
            return [_number_of_descriptor(message) for message in client.transcript if b'"event"' not in message]

    native, proxied = twins.both(play)
    assert proxied == native
    assert b"No file descriptor" in native[2]
    # HMP's getfd finds none, because a human-monitor-command has no connection of its own (7.2 to 11.1).
    assert takes == "hmp getfd" or not any(b'"error"' in message for message in native[3:])


def _number_of_descriptor(message: bytes) -> bytes:
    return re.sub(rb'"fd": \d+', b'"fd": <number>', message)


@pytest.mark.parametrize("name", ["query-qmp-schema", "query-commands"])
def test_nothing_is_advertised(name: str, twins: Twins) -> None:
    def play(twin: Twin) -> bytes:
        with twin.negotiated() as client:
            client.send(command(name, id="x"))
            return client.receive_message()

    native, proxied = twins.both(play)
    assert proxied == native
    assert len(native) > (100_000 if name == "query-qmp-schema" else 5000)


# -- Libraries ---------------------------------------------------------------------------------------------------------


def test_qemu_qmp_gets_the_same_with_oob(twins: Twins) -> None:
    """It enables OOB whenever the greeting offers it, and sends no line end."""

    async def converse(path: str) -> list[object]:
        client = QMPClient("legacy")
        events = EventListener()
        client.register_listener(events)
        await client.connect(path)
        try:
            yanked = await client.execute("query-yank", oob=True)
        except ExecuteError as exc:
            yanked = str(exc)  # it came with QEMU 6.0
        try:
            lines = ("savevm a", "loadvm a", "loadvm none", "delvm a")
            said = [await client.execute("human-monitor-command", {"command-line": line}) for line in lines]
            status = await client.execute("query-status")
        finally:
            await client.disconnect()
        return [yanked, said, status, [event["event"] for event in events.history]]

    native, proxied = twins.both(lambda twin: asyncio.run(converse(twin.path)))
    assert proxied == native
    assert [text[:5] for text in native[1]] == ["", "", "Error", ""]


# -- On a model of QEMU, which shows what it receives and when -----------------------------------------------------------


async def _on_a_model(play: Callable[[FakeQEMU, ProxyProcess], Awaitable[None]]) -> list[bytes]:
    """Return what QEMU received from the clients."""
    async with FakeQEMU(two_disks()) as qemu:
        proxy = ProxyProcess(Path(qemu.path).parent, qemu.path)
        await asyncio.to_thread(proxy.__enter__)
        try:
            # The proxy's own: qmp_capabilities, query-commands, query-name, query-jobs for what an earlier run left, and a
            # look at the disks, which ends with another query-jobs.
            await qemu.wait_received("query-jobs", 2)
            own = len(qemu.received_raw)
            await play(qemu, proxy)
        finally:
            await asyncio.to_thread(proxy.__exit__, None, None, None)
        return qemu.received_raw[own:]


def test_each_event_is_a_read_of_its_own() -> None:
    """multipass looks at the first line of each read only: it kills QEMU at RESUME, or waits for it for five minutes."""

    async def play(qemu: FakeQEMU, proxy: ProxyProcess) -> None:
        client = await asyncio.to_thread(proxy.negotiated)
        with client:
            for name in ("STOP", "RESUME", "STOP", "RESUME"):
                await qemu.send_event(name)
                lines = (await asyncio.to_thread(client.socket.recv, 65536)).splitlines()
                assert [json.loads(line)["event"] for line in lines] == [name]

    asyncio.run(_on_a_model(play))


FORWARDED: Final = (
    b'{"execute":"query-name"}', b"{'execute': 'query-status', \"id\": 'x'}\n", b"{}", b'{ "execute" : 5 }', b'{"bogus":{}}',
    b'\r\n{"arguments":{},"execute":"query-name"}\r\n', b'{"execute":"query-jobs"}', b'{"execute":"human-monitor-command"}',
    b'{\n    "id": [1e3, -0, "\\u00e9\xc3\xa9"],\n    "execute": "no\\u0073uch"\n}\n', hmp("info name"), hmp("savevm a b"),
)  # fmt: skip


@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 20])
def test_qemu_receives_the_very_bytes(piece_bytes: int) -> None:
    """Also between malformed input, which does not reach it."""
    stream = b"#\n".join(FORWARDED)

    def converse(proxy: ProxyProcess) -> None:
        with proxy.negotiated() as client:
            for at in range(0, len(stream), piece_bytes):
                client.send(stream[at : at + piece_bytes])
            for _ in range(2 * len(FORWARDED) - 1):
                client.read_until_reply()

    async def play(_: FakeQEMU, proxy: ProxyProcess) -> None:
        await asyncio.to_thread(converse, proxy)

    received = asyncio.run(_on_a_model(play))
    assert received == [raw.strip() for raw in FORWARDED]

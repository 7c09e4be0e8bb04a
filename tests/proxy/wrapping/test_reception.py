"""Who is let in at a wrapped QEMU, the modelled one, and what early clients are told."""

import asyncio
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.net.ends import End
from proxy.wrapping.reception import Reception
from shim.client import Client
from tests.support.checkout import ROOT
from tests.support.processes.wrapped_scene import HMP, QMP, Scene, play, status
from tests.support.proxy.running_vm_proxy import bound, in_thread
from tests.support.raw_client import DEADLINE_S, ConnectionLostError, RawClient
from tests.support.standard_input import standard_input


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="v", dir="/tmp") as name:
        monkeypatch.chdir(name)
        yield Path(name)


@pytest.mark.parametrize("pretty", [False, True])
def test_client_that_is_early_is_greeted_at_once_and_answered_later(pretty: bool) -> None:
    async def scene(scene: Scene) -> None:
        scene.qemu.hold("qmp_capabilities")
        beginning = asyncio.create_task(scene.begin())
        await scene.qemu.reached("qmp_capabilities")
        with RawClient.connect("q", pretty=pretty) as client:
            greeting = await in_thread(client.receive)
            assert greeting["QMP"]["version"]["qemu"]["major"] == 7
            client.send(b'{"execute": "qmp_capabilities"}')
            scene.qemu.release("qmp_capabilities")
            await beginning
            async with scene.serving():
                assert await in_thread(client.receive) == {"return": {}}

    play(f"{'-qmp-pretty' if pretty else '-qmp'} unix:q,server=on,wait=off", scene)


def test_person_that_is_early_has_the_banner_when_qemu_is_ready() -> None:
    async def scene(scene: Scene) -> None:
        with RawClient.connect("h") as person:
            await scene.begin()
            async with scene.serving():
                assert b"monitor - type 'help'" in await in_thread(person.socket.recv, 4096)

    play(HMP, scene)


def test_clients_that_are_early_are_not_too_many(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(scene: Scene) -> None:
        with RawClient.connect("q") as first, RawClient.connect("q") as second:
            scene.qemu.hold("qmp_capabilities")
            beginning = asyncio.create_task(scene.begin())
            await in_thread(first.receive)
            assert await in_thread(second.expect_eof) == b""
            scene.qemu.release("qmp_capabilities")
            await beginning
            # The first one is not served any more: the end of the scene comes before.

    play(QMP, scene, max_clients=1)
    assert "as many clients as --max-clients allows wait for QEMU: 1" in caplog.text


def test_client_that_is_there_already_is_served() -> None:
    async def scene(scene: Scene) -> None:
        await scene.begin()
        async with scene.serving():
            assert (await in_thread(client.negotiate))["QMP"]

    ours, theirs = socket.socketpair()
    with RawClient(ours) as client, theirs:
        play(f"-chardev socket,id=c,fd={theirs.fileno()} -mon c,mode=control", scene)


def test_client_that_listens_is_connected_to() -> None:
    async def scene(scene: Scene) -> None:
        await scene.begin()
        async with scene.serving():
            accepted, _ = await in_thread(listener.accept)
            with RawClient(accepted) as client:
                await in_thread(client.negotiate)

    with bound(Path("c")) as listener:
        listener.listen()
        play("-qmp unix:c,reconnect=1", scene)


def line_from(number: int) -> bytes:
    """Read a line from a pipe; AssertionError after the deadline."""
    line = b""
    while not line.endswith(b"\n"):
        assert select.select([number], [], [], DEADLINE_S)[0], line
        line += os.read(number, 1)
    return line


def test_standard_streams_are_a_client_of_whoever_started_qemu() -> None:
    reader, writer = os.pipe()
    kept = os.dup(1)

    async def scene(scene: Scene) -> None:
        await scene.begin()
        async with scene.serving():
            assert b'"QMP"' in await in_thread(line_from, reader)
            assert await in_thread(line_from, reader) == b'{"return": {}}\r\n'
            # The end of its input is not its leaving.
            await scene.qemu.send_event("STOP")
            assert b'"STOP"' in await in_thread(line_from, reader)

    try:
        with standard_input(b'{"execute": "qmp_capabilities"}'):
            os.dup2(writer, 1)
            play("-qmp stdio", scene)
    finally:
        os.dup2(kept, 1)
        for number in (reader, writer, kept):
            os.close(number)


def test_client_that_has_gone_before_its_greeting() -> None:
    async def scene(scene: Scene) -> None:
        with RawClient.connect("q"):
            pass
        await scene.begin()
        async with scene.serving():
            assert await in_thread(status, "q") == "prelaunch"

    play(QMP, scene)


def test_early_client_hears_nothing_where_qemu_never_is_ready() -> None:
    async def scene(scene: Scene) -> None:
        scene.qemu.hold("qmp_capabilities")
        beginning = asyncio.create_task(scene.begin())
        with RawClient.connect("q") as early:
            await in_thread(early.receive)
            beginning.cancel()
            await asyncio.wait((beginning,))
            await scene.vm.close()
            scene.reception.close()
            with pytest.raises(ConnectionLostError):
                await in_thread(early.receive)
        scene.qemu.release()

    play(QMP, scene)


def test_clients_are_handed_over_in_their_order() -> None:
    """A person's banner comes from what serves them; who comes later is greeted there, too."""
    greeted: list[str | None] = []
    added: list[str | None] = []

    def serve(end: End, client: Client) -> str | None:
        end.close()
        added.append(client.listener)
        return None

    def serve_greeted(end: End, client: Client) -> None:
        end.close()
        greeted.append(client.listener)

    async def scene(scene: Scene) -> None:
        reception: Reception = scene.reception
        with RawClient.connect("h") as person, RawClient.connect("q") as tool:
            await reception.open()
            reception.hand_over(serve_greeted, serve)
            assert (greeted, added) == (["unix:q"], ["unix:h"])
            assert b'"QMP"' in await in_thread(tool.receive_message)
            assert await in_thread(person.expect_eof) == b""
        with RawClient.connect("q") as late:
            assert await in_thread(late.expect_eof) == b""
        assert added == ["unix:h", "unix:q"]

    play(f"{QMP} {HMP}", scene)


def test_what_greets_clients_is_imported_without_what_serves_them() -> None:
    code = "import sys, proxy.lean_start, proxy.wrapping.serving; print([name in sys.modules for name in sys.argv[1:]])"
    serving = ["proxy.relaying.relay", "proxy.routing.dispatcher", "shim.plans.plan", "argparse"]
    command = [sys.executable, "-c", code, *serving]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=DEADLINE_S).stdout
    assert found == f"{[False] * len(serving)}\n"

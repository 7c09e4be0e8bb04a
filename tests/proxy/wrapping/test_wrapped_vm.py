"""The proxy of one QEMU, on the modelled one: who is let in when, what is loaded, and the end."""

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from host.addresses import DescriptorAddress
from host.config import VMConfig
from host.listener import Listener, Terms
from proxy.errors import HungUpError
from proxy.qemu_command_line.monitors import Kind
from proxy.wrapping.doors import Door, open_door
from proxy.wrapping.loading import Load
from proxy.wrapping.wrapped_vm import StartFailedError, WrappedVM
from shim.client import Client
from shim.policy import Policy
from tests.fakes.qemu import FakeQEMU, Snapshot, disk
from tests.support.graphs import patterns
from tests.support.raw_client import ConnectionLostError, RawClient
from tests.support.running_vm_proxy import bound, exists, in_thread, until
from tests.support.standard_input import standard_input
from tests.support.wrapped_monitors import line_of

QMP = "-qmp unix:q,server=on,wait=off"
HMP = "-monitor unix:h,server=on,wait=off"
SAVED = Snapshot("1", "t", vm_state_size=1)
STARTER = Client(os.getpid(), os.getuid(), "/usr/bin/tool")


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="v", dir="/tmp") as name:
        monkeypatch.chdir(name)
        yield Path(name)


@dataclass
class Scene:
    """A modelled QEMU, and what serves it."""

    qemu: FakeQEMU
    vm: WrappedVM
    task: asyncio.Task[None] | None = None

    async def begin(self, load: Load | None = None) -> None:
        await self.vm.begin(load)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve until the scene or QEMU ends."""
        task = asyncio.create_task(self.vm.serve())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait((task,))


def config_of(doors: list[Door], control: socket.socket) -> VMConfig:
    human = [door.address for door in doors if door.monitor.kind is Kind.HMP]
    return VMConfig(
        DescriptorAddress(control.fileno()),
        tuple(door.address for door in doors if door.address not in human),
        tuple(human),
        own_listeners=tuple(Listener(door.address, Terms(pretty=door.monitor.kind is Kind.QMP_PRETTY)) for door in doors),
    )


def play(words: str, scene: Callable[[Scene], Awaitable[None]], **settings: Any) -> None:
    """Play a scene with a QEMU that has the monitors of these words. settings: of the configuration."""

    async def run() -> None:
        async with FakeQEMU(disk("d0", snapshots=[SAVED]), run_state="prelaunch") as qemu:
            control = socket.socket(socket.AF_UNIX)
            control.setblocking(False)
            await asyncio.get_running_loop().sock_connect(control, qemu.path)
            doors = [open_door(monitor) for monitor in line_of(words).served]
            vm = WrappedVM(replace(config_of(doors, control), **settings), control, doors, STARTER, None)
            try:
                await scene(Scene(qemu, vm))
            finally:
                vm.close()

    asyncio.run(run())


def status(path: str) -> str:
    with RawClient.connect(path) as client:
        client.negotiate()
        found: str = client.returned("query-status")["status"]
        return found


def test_clients_are_served_until_qemu_has_gone() -> None:
    async def scene(scene: Scene) -> None:
        await scene.begin()
        serving = asyncio.create_task(scene.vm.serve())
        assert await asyncio.gather(*(in_thread(status, "q") for _ in range(3))) == ["prelaunch"] * 3
        scene.qemu.disconnect()
        await serving
        assert exists("q")

    play(QMP, scene)
    assert not os.path.exists("q")


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


def test_standard_streams_are_a_client_of_whoever_started_qemu() -> None:
    reader, writer = os.pipe()
    kept = os.dup(1)

    async def scene(scene: Scene) -> None:
        await scene.begin()
        async with scene.serving():
            assert b'"QMP"' in await in_thread(os.read, reader, 4096)

    try:
        with standard_input(b""):
            os.dup2(writer, 1)
            play("-qmp stdio", scene)
    finally:
        os.dup2(kept, 1)
        for number in (reader, writer, kept):
            os.close(number)


def test_qemu_that_ends_at_its_start() -> None:
    async def scene(scene: Scene) -> None:
        scene.qemu.hold("query-commands")
        beginning = asyncio.create_task(scene.begin())
        await scene.qemu.reached("query-commands")
        scene.qemu.disconnect()
        scene.qemu.release("query-commands")
        with pytest.raises(HungUpError):
            await beginning

    play(QMP, scene)
    assert not os.path.exists("q")


def test_client_that_comes_when_qemu_goes_is_closed() -> None:
    async def scene(scene: Scene) -> None:
        with RawClient.connect("q") as early:
            await scene.begin()
            await in_thread(early.receive)
            scene.qemu.disconnect()
            await until(lambda: scene.vm._has_ended)
            await scene.vm.serve()
            assert await in_thread(early.expect_eof) == b""

    play(QMP, scene)


# -- what is to be done before anybody is served --------------------------------------------------------------------------


def test_snapshot_is_loaded_before_anybody_is_served() -> None:
    async def scene(scene: Scene) -> None:
        with RawClient.connect("q") as early:
            await scene.begin(Load("t", stays_paused=False))
            async with scene.serving():
                await in_thread(early.negotiate)
                assert await in_thread(early.returned, "query-status") == {
                    "status": "running",
                    "singlestep": False,
                    "running": True,
                }
                assert not [message for message in early.transcript if b'"event"' in message]

    play(QMP, scene)


def test_load_that_fails_ends_qemu() -> None:
    async def scene(scene: Scene) -> None:
        with RawClient.connect("q") as early:
            with pytest.raises(StartFailedError, match=r"^Snapshot 'nonesuch' does not exist in one or more devices$"):
                await scene.begin(Load("nonesuch", stays_paused=False))
            await scene.vm.quit()
            assert scene.qemu.vm.has_quit
            greeting = await in_thread(early.receive)
            assert greeting["QMP"]
        await until(lambda: not exists(scene.qemu.path))

    play(QMP, scene)


def test_pattern_without_effect_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(scene: Scene) -> None:
        await scene.begin()

    play("-nodefaults -display none", scene, policy=Policy(exclude=patterns("nonesuch")))
    assert "nonesuch" in caplog.text


def test_pattern_without_effect_ends_a_strict_start() -> None:
    async def scene(scene: Scene) -> None:
        with pytest.raises(StartFailedError, match="nonesuch"):
            await scene.begin()

    play(QMP, scene, policy=Policy(exclude=patterns("nonesuch")), is_strict=True)


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
            scene.vm.close()
            with pytest.raises(ConnectionLostError):
                await in_thread(early.receive)
        scene.qemu.release()

    play(QMP, scene)

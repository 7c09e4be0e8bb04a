"""The proxy of one QEMU, on the modelled one: what is loaded at the start, and the end."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.errors import HungUpError
from proxy.wrapping.loading import Load, StartFailedError
from proxy.wrapping.wrapped_vm import WrappedVM
from shim.graph.policy import Policy
from tests.support.processes.wrapped_scene import QMP, Scene, play, status
from tests.support.proxy.running_vm_proxy import exists, in_thread, until
from tests.support.raw_client import RawClient
from tests.support.shim.graphs import patterns


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="v", dir="/tmp") as name:
        monkeypatch.chdir(name)
        yield Path(name)


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


def test_vm_that_has_not_begun_leaves_its_reception_open() -> None:
    async def scene(scene: Scene) -> None:
        await WrappedVM(scene.reception, None).close()
        await scene.begin()

    play(QMP, scene)


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
            await until(lambda: scene.vm._relay is not None and scene.vm._relay.lost.is_set())
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

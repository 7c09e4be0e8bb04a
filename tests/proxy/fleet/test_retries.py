"""A VM's change that has failed and is tried again, and one of a VM that only begins, while the configuration is read again."""

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from host.settings.config import VMConfig
from proxy.errors import ListenError
from proxy.fleet.supervision import SupervisedVM
from proxy.net.certificates import Contexts
from proxy.relaying.lasting import Lasting
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import RunningDaemon, run, table, until


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unix socket paths end at 107 bytes (unix(7)), so not pytest's tmp_path."""
    with tempfile.TemporaryDirectory(prefix="p", dir="/tmp") as name:
        yield Path(name)


class Attempts:
    """Changes of a VM that fail, and wait for `go` from the second on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wanted: list[str | None] = []
        self.go = asyncio.Event()
        self.fails = True
        attempts, change = self, SupervisedVM.change

        async def slow(vm: SupervisedVM, config: VMConfig, contexts: Contexts | None = None) -> None:
            attempts.wanted.append(config.name)
            if len(attempts.wanted) > 1:
                await attempts.go.wait()
            if attempts.fails:
                raise ListenError("x", "no")
            await change(vm, config, contexts)

        monkeypatch.setattr(SupervisedVM, "change", slow)


@pytest.mark.parametrize("fails", [False, True])
def test_attempt_that_is_under_way_is_not_overtaken(folder: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool) -> None:
    """Whoever asks meanwhile is told what has come of it, and an older wish never comes after a newer one."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            attempts = Attempts(monkeypatch)

            async def wish(limit: int) -> list[str]:
                running.path.write_text(table(qemu, folder / "a", f"max_clients = {limit}"))
                return list(await running.daemon.reload())

            assert await wish(1) == ["a: cannot listen on x: no"]
            await until(lambda: len(attempts.wanted) == 2)
            asked = [asyncio.create_task(wish(1)), asyncio.create_task(wish(2))]
            for _ in range(20):
                await asyncio.sleep(0)
            assert not any(task.done() for task in asked)
            attempts.fails = fails
            attempts.go.set()
            assert await asked[1] == (["a: cannot listen on x: no"] if fails else [])
            await asked[0]
            attempts.fails = False
            await until(lambda: running.status()[0].problem is None)
            (vm,) = running.daemon._fleet.vms
            assert vm.config.max_clients == 2

    run(main)


def test_vm_that_only_begins_begins_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier process has kept of it is read from a disk that may be stuck."""

    async def main() -> None:
        go, begin = asyncio.Event(), Lasting.begin

        async def slow(*given: Any) -> Lasting:
            await go.wait()
            return await begin(*given)

        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            monkeypatch.setattr(Lasting, "begin", slow)
            fleet = running.daemon._fleet

            async def wish(*lines: str) -> list[str]:
                running.path.write_text(table(qemu, folder / "a") + table("/none", folder / "b", *lines))
                return list(await running.daemon.reload())

            assert await wish() == []
            await until(lambda: (vm := fleet.running("b")) is not None and vm.proxy is not None)
            vm = fleet.running("b")
            assert vm is not None
            assert (vm.holds_path, vm.is_beginning) == (False, True)
            vm.release(())
            await vm.change(replace(vm.config, max_clients=2))
            assert vm.config.max_clients == 2
            assert await wish("max_clients = 1") == []
            go.set()
            await until(lambda: (vm := fleet.running("b")) is not None and not vm.is_beginning and vm.config.max_clients == 1)
            assert fleet.running("b") is not vm

    run(main)

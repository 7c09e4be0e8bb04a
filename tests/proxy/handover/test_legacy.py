"""A VM that is taken up, and how the two processes agree where that fails, or the old one dies."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from proxy.fleet.fleet import Fleet
from proxy.handover.channel import Channel
from proxy.handover.legacy import Legacy
from proxy.handover.taking import Taking
from proxy.relaying import carrying
from proxy.relaying.carrying import HoldingStill
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import run, table, until
from tests.support.processes.two_processes import Party, in_use
from tests.support.raw_client import RawClient


async def works(client: RawClient) -> bool:
    return "return" in await asyncio.to_thread(client.execute, "query-name")


def test_failure_of_the_new_process_leaves_the_vm_where_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When it is tried again, and there is no failure, it is handed over."""
    take_up, failures = carrying.take_up, []

    def fail(*values: Any) -> Any:
        failures.append(values)
        if len(failures) < 3:
            raise RuntimeError("boom")
        return take_up(*values)

    async def main() -> None:
        async with in_use(folder) as (qemu, config, old, client):
            monkeypatch.setattr(carrying, "take_up", fail)
            async with Party(folder, config, takes=True):
                await until(lambda: "stays with the old process for now: boom" in caplog.messages)
                assert await works(client)
                await old.ended()
                assert await works(client)
        assert qemu.client_count == 1

    run(main)
    assert len(failures) == 3


@pytest.mark.parametrize(("owner", "name"), [(Legacy, "take_up"), (Taking, "_settle")])
def test_new_process_that_is_stopped_leaves_the_vm_where_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    """Before it takes the VM up, or before it says that it is ready."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            config = table(qemu, folder / "a")
            async with Party(folder, config):
                with await asyncio.to_thread(RawClient.connect, folder / "a") as client:
                    await asyncio.to_thread(client.negotiate)
                    stuck = asyncio.Event()

                    async def wait(*those: Any) -> None:
                        stuck.set()
                        await asyncio.Event().wait()

                    with monkeypatch.context() as patch:
                        patch.setattr(owner, name, wait)
                        async with Party(folder, config, takes=True, settles=False):
                            await stuck.wait()
                    assert await works(client)
        assert qemu.client_count == 1

    run(main)


def test_new_process_that_is_stopped_while_it_waits(folder: Path) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, FakeQEMU(two_disks()) as other:
            config = table(qemu, folder / "a")
            async with Party(folder, config, table(other, folder / "b")) as old:
                qemu.hold("query-name")
                with await asyncio.to_thread(RawClient.connect, folder / "a") as client:
                    await asyncio.to_thread(client.negotiate)
                    await asyncio.to_thread(client.send, b'{"execute": "query-name"}')
                    await qemu.reached("query-name")
                    async with Party(folder, config, takes=True):
                        pass
                    qemu.release()
                    await asyncio.to_thread(client.receive)
                    assert old.served() == ["a"]

    run(main)


def test_old_process_that_dies_when_it_has_let_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else has the sockets any more, so the new one goes on. A process that is dead takes nothing back."""

    async def take_nothing(*_: Any) -> None:
        pass

    monkeypatch.setattr(Fleet, "take_back", take_nothing)
    send = Channel.send

    async def die(self: Channel, message: dict[str, Any], *numbers: Any) -> None:
        if "goes" in message:
            self.close()
        await send(self, message, *numbers)

    async def main() -> None:
        async with in_use(folder) as (qemu, config, old, client):
            monkeypatch.setattr(Channel, "send", die)
            async with Party(folder, config, takes=True) as new:
                await old.ended()
                await until(lambda: new.served() == ["a"])
                assert await works(client)
        assert qemu.client_count == 1

    run(main)


def test_vm_whose_qemu_is_away_is_handed_over_with_those_who_wait(folder: Path) -> None:
    config = f'[[vm]]\nname = "a"\nupstream = "unix:{folder}/q"\nlisten = "hold:unix:{folder}/a"\n'

    async def main() -> None:
        async with Party(folder, config) as old:
            with await asyncio.to_thread(RawClient.connect, folder / "a") as waiting:
                async with Party(folder, config, takes=True) as new:
                    await old.ended()
                    async with FakeQEMU(two_disks(), path=f"{folder}/q"):
                        await asyncio.to_thread(waiting.negotiate)
                        assert new.served() == ["a"]
                        assert await works(waiting)

    run(main)
    assert not (folder / "a").exists()


@pytest.mark.parametrize("holds", [False, True])
def test_path_that_is_taken_over_is_given_back_by_the_new_process(folder: Path, holds: bool) -> None:
    config = f'[[vm]]\nname = "a"\ntake_over = "{"hold:" * holds}{folder}/q"\n'

    async def main() -> None:
        async with FakeQEMU(two_disks(), path=f"{folder}/q") as qemu:
            async with Party(folder, config) as old:
                with await asyncio.to_thread(RawClient.connect, folder / "q") as client:
                    await asyncio.to_thread(client.negotiate)
                    async with Party(folder, config, takes=True) as new:
                        await old.ended()
                        assert await works(client)
                        with await asyncio.to_thread(RawClient.connect, folder / "q") as other:
                            await asyncio.to_thread(other.negotiate)
                            assert new.served() == ["a"]
                            assert (folder / "q.hmpshim").exists()
            assert not (folder / "q.hmpshim").exists()
            with await asyncio.to_thread(RawClient.connect, folder / "q") as native:
                await asyncio.to_thread(native.negotiate)
        assert qemu.client_count == 2

    run(main)


def test_vm_that_the_old_process_keeps_after_all_is_offered_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new process closes its copies of the sockets, and nobody notices."""
    kept = [False, False]

    async def main() -> None:
        async with in_use(folder) as (qemu, config, old, client):
            monkeypatch.setattr(HoldingStill, "is_as_carried", property(lambda _: kept.pop() if kept else True))
            async with Party(folder, config, takes=True):
                await old.ended()
                assert await works(client)
        assert qemu.client_count == 1
        assert kept == []

    run(main)


def test_failure_with_a_vm_whose_qemu_is_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = f'[[vm]]\nname = "a"\nupstream = "unix:{folder}/q"\nlisten = "hold:unix:{folder}/a"\n'
    settle, failures = Taking._settle, [RuntimeError("boom")]

    async def fail(self: Taking, name: str, attempt: int, why_not: str | None) -> bool:
        if why_not is None and failures:
            await settle(self, name, attempt, "boom")
            raise failures.pop()
        return await settle(self, name, attempt, why_not)

    async def main() -> None:
        async with Party(folder, config) as old:
            with await asyncio.to_thread(RawClient.connect, folder / "a") as waiting:
                monkeypatch.setattr(Taking, "_settle", fail)
                async with Party(folder, config, takes=True):
                    await old.ended()
                    async with FakeQEMU(two_disks(), path=f"{folder}/q"):
                        await asyncio.to_thread(waiting.negotiate)
                        assert await works(waiting)

    run(main)
    assert failures == []


def test_new_process_that_answers_when_the_old_one_has_died(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The VM is its own then: nobody has the sockets but it."""
    settle = Taking._settle

    async def main() -> None:
        async with in_use(folder) as (qemu, config, old, client):

            async def die_first(self: Taking, *those: Any) -> bool:
                (vm,) = old.fleet.by_key.values()
                assert vm.proxy is not None
                parts = vm.proxy.parts
                assert parts is not None
                front, _, relay = parts
                assert relay is not None
                front.let_go()
                carrying.let_go(relay)
                vm.proxy.leave()
                await old.ended()
                return await settle(self, *those)

            monkeypatch.setattr(Taking, "_settle", die_first)
            async with Party(folder, config, takes=True) as new:
                await until(lambda: new.served() == ["a"])
                assert await works(client)
        assert qemu.client_count == 1

    run(main)

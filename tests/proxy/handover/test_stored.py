"""The process that a service manager starts with the VMs of the one before: what it cannot go on with ends, and begins anew."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from host.audit_log.losses import LossesByLog
from proxy.fleet.service_manager import ServiceManager
from proxy.handover import storing
from proxy.handover.parcel import Parcel
from proxy.handover.stored import Stored
from proxy.relaying import carrying
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes import previous_format
from tests.support.processes.fake_service_manager import FakeServiceManager
from tests.support.processes.running_daemon import run, table, until
from tests.support.processes.stored_scene import Scene, played, works
from tests.support.processes.two_processes import Party
from tests.support.proxy.running_vm_proxy import free_port
from tests.support.raw_client import RawClient


async def begins_anew(one: Scene, client: RawClient, *tables: str, at: str = "a") -> None:
    """See that a client is disconnected by the next process, which serves the VM."""
    assert await one.leave() == {}
    await one.party.ended()
    await one.begin(*tables)
    assert await asyncio.to_thread(client.expect_eof) == b""
    await until(lambda: one.party.served() == ["a"])
    with await one.client(one.folder / at) as other:
        assert await works(other)


def anew(folder: Path, *tables: str, at: str = "a") -> None:
    async def main(one: Scene) -> None:
        with await one.client() as client:
            await begins_anew(one, client, *tables, at=at)

    played(folder, main)


def test_format_before_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "FORMAT", previous_format.FORMAT)
    monkeypatch.setattr(storing, "written", previous_format.written)

    async def main(one: Scene) -> None:
        with await one.client() as client:
            await one.upgrade()
            assert await works(client)

    played(folder, main)


def test_newer_format_begins_anew(folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(storing, "FORMAT", 3)
    monkeypatch.setattr(storing, "VERSION", "9.9")
    anew(folder)
    told = "begins anew, as what the service manager has kept of it cannot be used: it is hmpshim 9.9, which hands over"
    assert told in caplog.text
    assert "in format 3, and this is 0.1.0, which reads 1 and 2" in caplog.text


def test_what_is_not_sealed_begins_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As it is where the process is killed before it is done."""
    monkeypatch.setattr(Parcel, "seal", lambda _: None)
    anew(folder)
    assert "cannot be used: the process that began to hand it over did not finish" in caplog.text


def test_what_cannot_be_read_begins_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(storing, "written", lambda _: ({"front": None}, []))
    anew(folder)
    assert "begins anew, as what the service manager has kept of it cannot be used: what was handed over" in caplog.text


def test_what_cannot_be_gone_on_with_begins_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(carrying, "take_up", fail)
    anew(folder)
    assert "its connections end, as it cannot be taken over: boom" in caplog.messages


def test_vm_whose_settings_have_changed_begins_anew(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    anew(folder, f'[[vm]]\nname = "a"\nupstream = "unix:{folder}/q"\nlisten = "unix:{folder}/b"\n', at="b")
    assert "its connections end: these settings have changed: listen" in caplog.messages
    assert not (folder / "a").exists()


@pytest.mark.parametrize("takes_over", [False, True])
def test_vm_that_is_not_wanted_any_more_ends_in_order(folder: Path, takes_over: bool) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks(), path=f"{folder}/q"), FakeQEMU(two_disks()) as second:
            other, where = table(second, folder / "b"), folder / ("q" if takes_over else "a")
            gone = f'[[vm]]\nname = "a"\ntake_over = "{folder}/q"\n' if takes_over else table(f"{folder}/q", folder / "a")
            gone += f'hmp_listen = "tcp:127.0.0.1:{free_port()}"\n'  # it has no file
            with FakeServiceManager(folder / "n") as manager:
                one = Scene(folder, second, gone + other, manager, Party(folder, gone + other))
                await one.party.__aenter__()
                with await one.client(where) as client, await one.client(folder / "b") as kept:
                    assert await one.leave() == {}
                    await one.party.ended()
                    await one.begin(other)
                    assert await asyncio.to_thread(client.expect_eof) == b""
                    assert await works(kept)
                    assert manager.names == []
                if takes_over:
                    assert not (folder / "q.hmpshim").exists()
                    with await one.client(folder / "q") as native:
                        assert await works(native)
                assert not (folder / "a").exists()
                await one.party.__aexit__(None, None, None)

    run(main)


def emptied(folder: Path, main: Callable[[Scene, Stored], Awaitable[None]]) -> None:
    """Run something with what is stored, and no process for it."""

    async def play(one: Scene) -> None:
        with await one.client() as client:
            assert await one.leave() == {}
            await one.party.ended()
            told = ServiceManager(one.manager.environment)
            await main(one, Stored(one.manager.passed(), told, LossesByLog()))
            await told.has_heard()
            told.close()
            if one.manager.names:
                await one.begin()
                assert await works(client)

    played(folder, play)


def test_what_nobody_has_claimed_is_there_for_the_next_process(folder: Path) -> None:
    async def main(one: Scene, stored: Stored) -> None:
        stored.close()
        assert len(one.manager.names) == 1

    emptied(folder, main)


def test_what_cannot_be_removed_from_the_store_is_empty(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main(one: Scene, stored: Stored) -> None:
        gone = ServiceManager({})
        deaf = Stored(one.manager.passed(), gone, LossesByLog())
        await deaf.end_others(())
        assert "cannot tell the service manager what it no longer needs to keep" in caplog.text
        await stored.end_others(())
        assert "cannot be used: the process that began to hand it over did not finish" in caplog.text
        assert not (folder / "a").exists()

    emptied(folder, main)

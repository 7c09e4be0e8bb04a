"""A QEMU that owes replies and sends nothing is noticed; one that is only quiet is not."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.relaying import silence
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import RunningDaemon, hmp, run, statuses, table, until
from tests.support.raw_client import RawClient, negotiated


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="s", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "_LOOK_S", 0.01)
    # A busy machine can make any QEMU silent for a while, so this begins with `soon`.
    monkeypatch.setattr(silence, "_LONG_S", 1000.0)


def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "_LONG_S", 0.05)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if "not answered for" in message or "answers again" in message]


def silent_s(running: RunningDaemon) -> float | None:
    (status,) = statuses(running.daemon._fleet)
    return status.silent_s


async def asked_in_vain(qemu: FakeQEMU, folder: Path) -> tuple[RawClient, asyncio.Task[dict[str, Any]]]:
    """Have a client ask what QEMU does not answer until it is released."""
    client = await asyncio.to_thread(lambda: negotiated(RawClient.connect(str(folder / "a"))))
    qemu.hold("query-status")
    asking = asyncio.create_task(asyncio.to_thread(client.execute, "query-status"))
    await qemu.reached("query-status")
    return client, asking


def test_silent_qemu_is_told_of_and_that_it_answers_again(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            client, asking = await asked_in_vain(qemu, folder)
            soon(monkeypatch)
            await until(lambda: "not answered for" in caplog.text)
            assert (silent_s(running) or 0) >= silence._LONG_S
            monkeypatch.setattr(silence, "_LONG_S", 1000.0)
            qemu.release()
            assert "return" in await asking
            assert silent_s(running) is None
            await until(lambda: "answers again" in caplog.text)
            client.close()

    run(main)
    first, last = told(caplog)
    assert first.startswith("QEMU has not answered for 0 s; waiting clients: 1, first: ")
    assert f"(pid {os.getpid()}, " in first
    assert last.startswith("QEMU answers again, after about ")


def test_snapshot_command_that_takes_long_is_no_silence(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            qemu.hold("snapshot-save")
            asking = asyncio.create_task(hmp(folder / "a", "savevm t"))
            await qemu.reached("snapshot-save")
            relay = running.daemon._fleet.vms[0]._relay
            assert relay is not None
            soon(monkeypatch)
            since_s = relay.silence._since_s
            await until(lambda: silence._now_s() - since_s > 2 * silence._LONG_S)
            assert silent_s(running) is None
            monkeypatch.setattr(silence, "_LONG_S", 1000.0)
            qemu.release()
            assert await asking == [""]

    run(main)
    assert told(caplog) == []


def test_qemu_that_owes_nothing_is_not_watched(folder: Path) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            assert await hmp(folder / "a", "info status") != [""]
            relay = running.daemon._fleet.vms[0]._relay
            assert relay is not None
            await until(lambda: relay.silence._timer is None)
            assert silent_s(running) is None

    run(main)


def test_snapshot_command_that_waits_behind_an_owed_reply_excuses_nobody(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            client, asking = await asked_in_vain(qemu, folder)
            saving = asyncio.create_task(hmp(folder / "a", "savevm t"))
            relay = running.daemon._fleet.vms[0]._relay
            assert relay is not None
            await until(lambda: relay.silence._plans.exclusive is not None)
            soon(monkeypatch)
            await until(lambda: silent_s(running) is not None)
            monkeypatch.setattr(silence, "_LONG_S", 1000.0)
            qemu.release()
            await asking
            assert await saving == [""]
            client.close()

    run(main)


def test_qemu_that_goes_does_not_answer_again(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            client = await asyncio.to_thread(lambda: negotiated(RawClient.connect(str(folder / "a"))))
            qemu.hold("query-status")
            client.send(b'{"execute":"query-status"}')
            await qemu.reached("query-status")
            relay = running.daemon._fleet.vms[0]._relay
            assert relay is not None
            soon(monkeypatch)
            await until(lambda: "not answered for" in caplog.text)
            monkeypatch.setattr(silence, "_LONG_S", 1000.0)
            qemu.disconnect()
            await until(lambda: relay.silence._timer is None)
            qemu.release()
            client.close()

    run(main)
    assert len(told(caplog)) == 1


def test_question_of_the_proxys_own_has_no_client(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            qemu.hold("query-jobs")
            soon(monkeypatch)
            async with RunningDaemon(folder, table(qemu, folder / "a")):
                await until(lambda: "not answered for" in caplog.text)
                monkeypatch.setattr(silence, "_LONG_S", 1000.0)
                qemu.release()

    run(main)
    assert told(caplog)[0].endswith("waiting clients: 0, first: hmp-proxy")

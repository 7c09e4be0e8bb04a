"""A snapshot command that takes long is told of in the log, while it runs and when it ends."""

import asyncio
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.relaying import slowness
from proxy.relaying.slowness import SlowCommands
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import RunningDaemon, hmp, run, table, until
from tests.support.raw_client import ConnectionLostError


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="s", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slowness, "_LONG_S", 0.01)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if "takes long" in message or "ended after" in message]


@pytest.mark.parametrize("failure", [None, "No space left on device"])
def test_it_is_told_who_waits_for_what_and_how_it_ended(
    folder: Path, caplog: pytest.LogCaptureFixture, failure: str | None
) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")):
            if failure is not None:
                qemu.vm.faults.failures["snapshot-save"] = failure
            qemu.hold("snapshot-save")
            asking = asyncio.create_task(hmp(folder / "a", "savevm t"))
            await qemu.reached("snapshot-save")
            await until(lambda: "takes long" in caplog.text)
            qemu.release()
            await asking
            await until(lambda: "ended after" in caplog.text)

    run(main)
    began, ended = told(caplog)
    assert began.startswith("'savevm t' takes long, and all clients of the VM wait: ")
    assert f"pid {os.getpid()}" in began
    assert re.fullmatch(
        rf"'savevm t' ended after [0-9]+\.[0-9] s: {'done' if failure is None else f'Error: .*{failure}'}", ended
    )


def test_what_qemu_runs_itself_is_told_of_too(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It has the client's own bytes, and the client has its answer."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a", 'policy = "hmp"')):
            await hmp(folder / "a", "savevm t")
            qemu.hold("human-monitor-command")
            asking = asyncio.create_task(hmp(folder / "a", "savevm t"))
            await qemu.reached("human-monitor-command")
            await until(lambda: "takes long" in caplog.text)
            qemu.release()
            await asking
            await until(lambda: "ended after" in caplog.text)

    run(main)
    assert told(caplog)[1].endswith(" s: done")


def test_end_of_the_connection_is_the_end(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")):
            qemu.hold("snapshot-save")
            asking = asyncio.create_task(hmp(folder / "a", "savevm t"))
            await until(lambda: "takes long" in caplog.text)
            qemu.disconnect()
            qemu.release()
            with pytest.raises(ConnectionLostError):
                await asking

    run(main)
    assert told(caplog)[1].endswith(" s: its outcome is not known")


def test_quick_command_is_not_told_of(folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slowness, "_LONG_S", 1000)

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")):
            assert await hmp(folder / "a", "savevm t", "loadvm t", "delvm t") == ["", "", ""]

    run(main)
    assert told(caplog) == []


def test_nobody_waits_for_what_has_no_client() -> None:
    slow = SlowCommands()
    slow.watch(None)
    assert slow.watched is None

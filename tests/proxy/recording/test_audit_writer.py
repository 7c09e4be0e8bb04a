"""An audit log whose disk is slow, stuck or full: who waits for it, for how long, and what is told."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from host.errors import AuditError
from host.settings.config import AuditSettings
from proxy.recording import audit_writer
from proxy.recording.audit_writer import AuditWriter
from tests.support.audit.written_records import record
from tests.support.proxy.running_vm_proxy import until
from tests.support.proxy.stuck_disk import StuckDisk

SETTINGS = AuditSettings("/log")
STUCK = "audit log /log: its disk is stuck, so answers go out before their records are written"
CROWDED = "audit log /log: too many records wait for its disk"
FULL = "cannot write the audit log log: the disk is full"
UP_TO_DATE = "audit log /log: it is up to date again"


@pytest.fixture
def disk() -> StuckDisk:
    return StuckDisk()


def play(
    disk: StuckDisk,
    scene: Callable[[AuditWriter], Awaitable[None]],
    *,
    settings: AuditSettings = SETTINGS,
    refuses: bool = False,
) -> None:
    async def run() -> None:
        writer = AuditWriter(disk.log(refuses=refuses), settings)
        try:
            await scene(writer)
        finally:
            disk.go_on()
            await writer.close()

    asyncio.run(run())
    assert disk.is_closed


def lines(disk: StuckDisk) -> list[Any]:
    return [json.loads(line)["command_line"] for line in disk.lines]


def test_records_are_written_in_order_and_whoever_waits_is_told_of_each(disk: StuckDisk) -> None:
    async def scene(writer: AuditWriter) -> None:
        told: list[int] = []
        for number in range(5):
            assert writer.write([record(command_line=f"info {number}")], partial(told.append, number))
        await until(lambda: len(told) == 5)
        assert (told, writer.queued) == ([0, 1, 2, 3, 4], 0)
        assert lines(disk) == [f"info {number}" for number in range(5)]

    play(disk, scene)


def test_stuck_disk_costs_each_waiting_answer_a_second_once(
    disk: StuckDisk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audit_writer, "_PATIENCE_S", 0.01)

    async def scene(writer: AuditWriter) -> None:
        disk.stick()
        told: list[str] = []
        assert writer.write([record()], lambda: told.append("first"))
        assert writer.write([record()], lambda: told.append("second"))
        await until(lambda: told == ["first", "second"])
        assert disk.lines == []
        assert not writer.write([record()], lambda: told.append("third"))
        assert writer.queued == 3
        disk.go_on()
        await until(lambda: len(disk.lines) == 3 and UP_TO_DATE in caplog.messages)
        assert writer.write([record()], lambda: told.append("fourth"))
        await until(lambda: told == ["first", "second", "fourth"])
        # Some looks find that nothing has waited long, or nothing at all.
        await until(lambda: writer._timer is None)

    play(disk, scene)
    assert caplog.messages == [STUCK, UP_TO_DATE]


@pytest.mark.parametrize(("settings", "refuses"), [(AuditSettings("/log", sync=True), False), (SETTINGS, True)])
def test_what_must_be_on_record_is_waited_for_as_long_as_it_takes(
    disk: StuckDisk, monkeypatch: pytest.MonkeyPatch, settings: AuditSettings, refuses: bool
) -> None:
    monkeypatch.setattr(audit_writer, "_PATIENCE_S", 0)

    async def scene(writer: AuditWriter) -> None:
        disk.stick()
        told: list[str] = []
        assert writer.write([record()], lambda: told.append("first"))
        assert writer._timer is None
        disk.go_on()
        await until(lambda: told == ["first"])

    play(disk, scene, settings=settings, refuses=refuses)


def test_command_is_announced_or_it_is_told_why_not(disk: StuckDisk, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(writer: AuditWriter) -> None:
        told: list[str | None] = []
        writer.announce(record(), told.append)
        await until(lambda: told == [None])
        disk.is_full = True
        writer.announce(record(), told.append)
        writer.announce(record(), told.append)
        await until(lambda: len(told) == 3)
        assert told[1] == told[2] == f"{FULL}; the command was not run"
        disk.is_full = False

    play(disk, scene, refuses=True)
    assert caplog.messages == [f"{FULL}; commands are refused until it can be written again"]


def test_what_finds_no_room_is_lost_and_the_next_record_tells(
    disk: StuckDisk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audit_writer, "_MOST_QUEUED_BYTES", 10_000)

    async def scene(writer: AuditWriter) -> None:
        disk.stick()
        told: list[object] = []
        # One always finds room, however long it is.
        assert writer.write([record(command_line=f"info {'x' * 20_000}")], lambda: told.append("long"))
        assert not writer.write([record(), record()], pytest.fail)
        assert not writer.write([record(reply={"return": "x" * 10_000})], pytest.fail)
        writer.announce(record(), told.append)
        assert writer.queued == 1
        disk.go_on()
        await until(lambda: len(told) == 2)
        assert f"{CROWDED}; the command was not run" in told
        assert writer.write([record()], lambda: told.append("next"))
        await until(lambda: "next" in told)

    play(disk, scene)
    assert [json.loads(line)["lost_before"] for line in disk.lines] == [0, 3]
    assert caplog.messages == [
        f"{CROWDED}; records are lost until it can be written again; records lost so far: 2",
        "audit log /log: it can be written again; records lost meanwhile: 3",
    ]


def test_records_that_are_lost_at_the_end_are_told_of(
    disk: StuckDisk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audit_writer, "LAST_WRITE_S", 0.01)
    stuck = []

    async def run() -> None:
        writer = AuditWriter(disk.log(), SETTINGS)
        disk.stick()
        writer.write([record(), record()], lambda: None)
        stuck.append(writer._thread._thread)
        await writer.close()

    asyncio.run(run())
    assert caplog.messages == ["audit log /log: its disk has been stuck for 0.01 s at the end; records lost: 2"]
    disk.go_on()
    (thread,) = stuck
    assert thread is not None
    thread.join()


def test_file_system_that_tells_of_a_loss_at_the_end_only(disk: StuckDisk, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise OSError(5, "Input/output error")

    async def run() -> None:
        log = disk.log()
        disk.close = fail  # type: ignore[method-assign]
        await AuditWriter(log, SETTINGS).close()

    asyncio.run(run())
    assert caplog.messages == ["audit log /log: Input/output error"]


def test_log_that_is_not_wanted_any_more_when_it_is_open_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = StuckDisk()
    disk.stick()

    def open_slowly(*_: Any) -> Any:
        disk.wait()
        return disk.log()

    async def run() -> None:
        opening = asyncio.create_task(AuditWriter.open(SETTINGS))
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait((opening,))
        disk.go_on()
        await until(lambda: disk.is_closed)

    with monkeypatch.context() as patch:
        patch.setattr(audit_writer, "open_audit_log", open_slowly)
        asyncio.run(run())
    with pytest.raises(AuditError):
        asyncio.run(AuditWriter.open(AuditSettings(str(tmp_path / "none" / "log"))))

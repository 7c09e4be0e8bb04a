"""The audit logs of a process: opened once for all VMs that keep them alike, and closed after the last."""

import asyncio
import threading
from pathlib import Path

import pytest

from host.audit_log.log import AuditLog, open_audit_log
from host.audit_log.losses import Losses
from host.errors import AuditError
from host.net.addresses import UnixAddress
from host.settings.config import AuditSettings, VMConfig
from proxy.fleet import audit_logs
from proxy.fleet.audit_logs import AuditLogs, with_shared_logs
from proxy.recording import audit_writer
from tests.support.proxy.running_vm_proxy import until
from tests.support.raw_client import DEADLINE_S


def vm(number: int, audit: AuditSettings | None) -> VMConfig:
    return VMConfig(UnixAddress(f"/q{number}"), (UnixAddress(f"/l{number}"),), audit=audit)


def test_log_is_shared_until_its_last_user_has_gone(tmp_path: Path) -> None:
    async def run() -> None:
        logs, settings = AuditLogs(), AuditSettings(str(tmp_path / "log"))
        first, second = await asyncio.gather(logs.acquire(settings), logs.acquire(AuditSettings(str(tmp_path / "log"))))
        assert second is first
        other = await logs.acquire(AuditSettings(str(tmp_path / "log"), keep=3))
        assert other is not first
        await logs.release(settings)
        assert await logs.acquire(settings) is first
        await logs.release(settings)
        await logs.release(settings)
        assert await logs.acquire(settings) is not first
        await logs.close()

    asyncio.run(run())


def test_log_that_cannot_be_opened_has_no_user(tmp_path: Path) -> None:
    async def run() -> None:
        logs, settings = AuditLogs(), AuditSettings(str(tmp_path / "none" / "log"))
        failed = await asyncio.gather(logs.acquire(settings), logs.acquire(settings), return_exceptions=True)
        assert [type(error) for error in failed] == [AuditError, AuditError]
        (tmp_path / "none").mkdir()
        await logs.acquire(settings)
        await logs.release(settings)
        await logs.close()

    asyncio.run(run())


def test_files_are_begun_anew_where_they_were_moved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a" / "log"

    async def run() -> None:
        logs = AuditLogs()
        await logs.acquire(AuditSettings(str(path)))
        path.rename(tmp_path / "moved")
        logs.reopen()
        await until(path.exists)
        path.parent.rename(tmp_path / "b")
        logs.reopen()
        await logs.close()

    path.parent.mkdir()
    asyncio.run(run())
    assert caplog.messages == [f"cannot write the audit log {path}: No such file or directory; going on with the old file"]


def test_log_whose_disk_is_stuck_while_it_is_opened_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for by those that have it, and by no other and no end of the process."""
    unstuck = threading.Event()

    def open_slowly(settings: AuditSettings, losses: Losses) -> AuditLog:
        unstuck.wait(DEADLINE_S)
        return open_audit_log(settings, losses)

    async def run() -> None:
        logs, stuck = AuditLogs(), AuditSettings(str(tmp_path / "stuck"))
        with monkeypatch.context() as patch:
            patch.setattr(audit_writer, "open_audit_log", open_slowly)
            waiting = asyncio.create_task(logs.acquire(stuck))
            await until(lambda: stuck in logs._writers)
            await asyncio.sleep(0)
        await logs.acquire(AuditSettings(str(tmp_path / "other")))
        logs.reopen()
        monkeypatch.setattr(audit_logs, "_OPENED_WITHIN_S", 0.001)
        with pytest.raises(AuditError, match="its disk is stuck"):
            await logs.acquire_in_time(stuck)
        waiting.cancel()
        await logs.close()
        unstuck.set()

    asyncio.run(run())


@pytest.mark.parametrize("is_end", [False, True], ids=["reopen", "close"])
def test_log_that_has_just_failed_to_open_spoils_nothing_for_the_others(tmp_path: Path, is_end: bool) -> None:
    """Log rotation's SIGHUP, or the end, can come before anybody has heard of the failure."""
    path = tmp_path / "log"

    async def run() -> None:
        logs, wrong = AuditLogs(), AuditSettings(str(tmp_path / "none" / "log"))
        await logs.acquire(AuditSettings(str(path)))
        waiting = asyncio.create_task(logs.acquire(wrong))
        await asyncio.sleep(0)
        opening = logs._writers[wrong]
        while not opening.done():  # noqa: ASYNC110 - what tells of it comes a step later
            await asyncio.sleep(0)
        path.rename(tmp_path / "moved")
        if is_end:
            await logs.close()  # no descriptor is left, which is looked at after each test
        else:
            logs.reopen()
            await until(path.exists)
        with pytest.raises(AuditError, match="No such file"):
            await waiting
        await logs.close()

    asyncio.run(run())


@pytest.mark.parametrize("is_late", [False, True], ids=["it opens in time for nobody", "it opens while its user gives up"])
def test_log_that_nobody_waited_for_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_late: bool) -> None:
    """Not at once: a disk that is only slow has it open for the next try."""
    monkeypatch.setattr(audit_logs, "_UNUSED_S", 0.01)
    disk, settings = threading.Event(), AuditSettings(str(tmp_path / "log"))

    def open_slowly(settings: AuditSettings, losses: Losses) -> AuditLog:
        disk.wait(DEADLINE_S)
        return open_audit_log(settings, losses)

    monkeypatch.setattr(audit_writer, "open_audit_log", open_slowly)

    async def run() -> None:
        logs = AuditLogs()
        waiting = asyncio.create_task(logs.acquire(settings))
        await until(lambda: settings in logs._writers)
        opening = logs._writers[settings]
        if is_late:
            opening.add_done_callback(lambda _: waiting.cancel())
        else:
            waiting.cancel()
            await asyncio.wait((waiting,))
        disk.set()
        await asyncio.wait((waiting, opening))
        assert waiting.cancelled()
        await until(lambda: not logs._writers and not logs._closing)
        # One who comes in between keeps it.
        disk.clear()
        given_up = asyncio.create_task(logs.acquire(settings))
        await until(lambda: settings in logs._writers)
        given_up.cancel()
        disk.set()
        await asyncio.wait((given_up, opening := logs._writers[settings]))
        assert await logs.acquire(settings) is opening.result()
        timers = asyncio.Event()
        asyncio.get_running_loop().call_later(2 * audit_logs._UNUSED_S, timers.set)
        await timers.wait()
        assert list(logs._writers) == [settings]
        await logs.release(settings)
        assert not logs._writers
        await logs.close()

    asyncio.run(run())


def test_one_vm_that_wants_a_log_synchronous_is_enough(tmp_path: Path) -> None:
    plain, synchronous, other = AuditSettings("/a"), AuditSettings("/a", sync=True), AuditSettings("/b")
    shared = with_shared_logs([vm(1, plain), vm(2, synchronous), vm(3, other), vm(4, None)])
    assert [found.audit for found in shared] == [synchronous, synchronous, other, None]
    assert [found.audit for found in with_shared_logs([vm(1, plain)])] == [plain]


def test_nothing_is_kept_of_logs_without_users(tmp_path: Path) -> None:
    async def run() -> None:
        logs = AuditLogs()
        for settings in (AuditSettings(str(tmp_path / "a")), AuditSettings(str(tmp_path / "b"))):
            await logs.acquire(settings)
            await logs.release(settings)
        with pytest.raises(AuditError):
            await logs.acquire(AuditSettings(str(tmp_path / "none" / "log")))
        assert not logs._users
        await logs.close()

    asyncio.run(run())

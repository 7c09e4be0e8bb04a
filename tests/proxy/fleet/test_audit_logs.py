"""The audit logs of a process: opened once for all VMs that keep them alike, and closed after the last."""

from pathlib import Path

import pytest

from host.addresses import UnixAddress
from host.config import AuditSettings, VMConfig
from host.errors import AuditError
from proxy.fleet.audit_logs import AuditLogs, with_shared_logs


def vm(number: int, audit: AuditSettings | None) -> VMConfig:
    return VMConfig(UnixAddress(f"/q{number}"), (UnixAddress(f"/l{number}"),), audit=audit)


def test_log_is_shared_until_its_last_user_has_gone(tmp_path: Path) -> None:
    logs, settings = AuditLogs(), AuditSettings(str(tmp_path / "log"))
    first = logs.acquire(settings)
    assert logs.acquire(AuditSettings(str(tmp_path / "log"))) is first
    other = logs.acquire(AuditSettings(str(tmp_path / "log"), keep=3))
    assert other is not first
    logs.release(settings)
    assert logs.acquire(settings) is first
    logs.release(settings)
    logs.release(settings)
    assert logs.acquire(settings) is not first
    logs.close()


def test_log_that_cannot_be_opened_has_no_user(tmp_path: Path) -> None:
    logs, settings = AuditLogs(), AuditSettings(str(tmp_path / "none" / "log"))
    with pytest.raises(AuditError):
        logs.acquire(settings)
    (tmp_path / "none").mkdir()
    logs.acquire(settings)
    logs.release(settings)
    logs.close()


def test_files_are_begun_anew_where_they_were_moved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logs, path = AuditLogs(), tmp_path / "a" / "log"
    path.parent.mkdir()
    logs.acquire(AuditSettings(str(path)))
    path.rename(tmp_path / "moved")
    logs.reopen()
    assert path.exists()
    path.parent.rename(tmp_path / "b")
    logs.reopen()
    assert caplog.messages == [f"cannot write the audit log {path}: No such file or directory; going on with the old file"]
    logs.close()


def test_one_vm_that_wants_a_log_synchronous_is_enough(tmp_path: Path) -> None:
    plain, synchronous, other = AuditSettings("/a"), AuditSettings("/a", sync=True), AuditSettings("/b")
    shared = with_shared_logs([vm(1, plain), vm(2, synchronous), vm(3, other), vm(4, None)])
    assert [found.audit for found in shared] == [synchronous, synchronous, other, None]
    assert [found.audit for found in with_shared_logs([vm(1, plain)])] == [plain]

"""What is wrong with the files of VMs, found before anything depends on it."""

import asyncio
import threading
from pathlib import Path

import pytest

from host.audit_log.log import AuditLog, open_audit_log
from host.audit_log.losses import Losses
from host.net.addresses import TCPAddress, UnixAddress
from host.settings.config import AuditSettings, VMConfig
from host.settings.listener import Terms, TLSClients
from proxy.fleet.audit_logs import AuditLogs
from proxy.process import readiness
from proxy.process.readiness import unusable_files
from proxy.recording import audit_writer
from tests.support.raw_client import DEADLINE_S


def vm(audit: str | None = None, certificate: str = "") -> VMConfig:
    terms = Terms(tls_certificate=certificate, tls_clients=TLSClients.ANY) if certificate else Terms()
    log = None if audit is None else AuditSettings(audit)
    return VMConfig(UnixAddress("/q"), (TCPAddress("127.0.0.1", 4444),), audit=log, terms=terms)


def test_each_mistake_is_told_once_with_the_vms_that_it_concerns(tmp_path: Path) -> None:
    good, wrong = f"{tmp_path}/log", f"{tmp_path}/none/log"
    vms = {"a": vm(good), "b": vm(wrong), "c": vm(), "d": vm(wrong), "e": vm(good, "/none/cert"), "f": vm(f"{wrong}2")}

    async def main() -> None:
        logs = AuditLogs()
        found = [(names, str(problem), problem.exit_status) for names, problem in await unusable_files(vms, logs)]
        assert list(logs._writers) == [AuditSettings(good)]
        assert await logs.acquire(AuditSettings(good)) is logs._writers[AuditSettings(good)].result()
        await logs.release(AuditSettings(good))
        assert not logs._writers
        assert await unusable_files({"a": vm(good)}, logs) == []
        await logs.close()
        assert found == [
            (["e"], "cannot use TLS with /none/cert: No such file or directory (setting tls_certificate)", 2),
            (["b", "d"], f"cannot write the audit log {wrong}: No such file or directory", 6),
            (["f"], f"cannot write the audit log {wrong}2: No such file or directory", 6),
        ]

    asyncio.run(main())


def test_disk_that_is_stuck_is_no_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log goes on opening, and whoever wants it next waits for that."""
    monkeypatch.setattr(readiness, "_WITHIN_S", 0.01)
    unstuck = threading.Event()

    def open_slowly(settings: AuditSettings, losses: Losses) -> AuditLog:
        unstuck.wait(DEADLINE_S)
        return open_audit_log(settings, losses)

    monkeypatch.setattr(audit_writer, "open_audit_log", open_slowly)
    monkeypatch.setattr(readiness, "read_certificates", lambda _: unstuck.wait(DEADLINE_S))

    async def main() -> None:
        logs = AuditLogs()
        assert await unusable_files({"a": vm(f"{tmp_path}/log")}, logs) == []
        opening = logs._writers[AuditSettings(f"{tmp_path}/log")]
        unstuck.set()
        assert await logs.acquire(AuditSettings(f"{tmp_path}/log")) is await opening
        await logs.release(AuditSettings(f"{tmp_path}/log"))
        await logs.close()

    asyncio.run(main())

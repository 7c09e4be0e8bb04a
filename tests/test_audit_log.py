"""A record is one line and one write, and a failing disk is an error, not a lost record in silence."""

import json
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from host.audit_log import AuditLog
from host.errors import AuditError
from shim.audit import Action, AuditRecord
from shim.client import Client
from tests.pure_router import NOW


def a_record(line: str = "savevm t") -> AuditRecord:
    return AuditRecord(NOW, "vm1", Client(), line, Action.PASSED, "because", {"return": ""}, 1, False)


def lines(path: Path) -> list[str]:
    return [json.loads(line)["command_line"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("sync", [False, True])
def test_records_are_appended_as_lines(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "log"
    path.write_text(json.dumps({"command_line": "earlier"}) + "\n")
    log = AuditLog(str(path), sync=sync)
    log.write(a_record("savevm 'é\n'"))
    log.write(a_record("delvm"))
    log.close()
    assert lines(path) == ["earlier", "savevm 'é\n'", "delvm"]


def test_new_file_is_its_owners_only(tmp_path: Path) -> None:
    AuditLog(str(tmp_path / "log")).close()
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


def test_two_logs_share_a_file(tmp_path: Path) -> None:
    first, second = AuditLog(str(tmp_path / "log")), AuditLog(str(tmp_path / "log"))
    for number in range(10):
        (first, second)[number % 2].write(a_record(str(number)))
    first.close()
    second.close()
    assert lines(tmp_path / "log") == [str(number) for number in range(10)]


@pytest.mark.parametrize(
    ("path", "reason"), [("none/log", "No such file or directory"), (".", "Is a directory"), ("", "No such file or directory")]
)
def test_file_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, reason: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AuditError, match=f"cannot write the audit log {path}: {reason}"):
        AuditLog(path)


@pytest.mark.parametrize("sync", [False, True])
def test_full_disk_is_an_error(sync: bool) -> None:
    log = AuditLog("/dev/full", sync=sync)
    with pytest.raises(AuditError, match="cannot write the audit log /dev/full: No space left on device"):
        log.write(a_record())
    log.close()


def test_record_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    log = AuditLog(str(tmp_path / "log"))
    with _file_size_limit(100), pytest.raises(AuditError, match=r"only 100 of \d+ bytes were written; is the disk full\?"):
        log.write(a_record())
    log.close()


@contextmanager
def _file_size_limit(size_bytes: int) -> Iterator[None]:
    """Let files grow so far only; Python ignores SIGXFSZ, so a write gets what fits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_descriptor_is_not_inherited(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = AuditLog(str(path))
    links = {link.name: link.resolve() for link in Path("/proc/self/fd").iterdir()}
    (number,) = [int(name) for name, target in links.items() if target == path.resolve()]
    assert not os.get_inheritable(number)
    log.close()

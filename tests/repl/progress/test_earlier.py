"""How long earlier commands took, from an audit log as it is written, and from whatever else is in a file."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from host.settings.config import AuditSettings
from repl.progress import earlier
from repl.progress.earlier import log_file, taken_s
from shim.hmp.line import HMPLine
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.repl.executing import executing


def record(command: str = "savevm", **members: Any) -> dict[str, Any]:
    told = {"vm": "vm1", "hmp_command": command, "failed": False, "duration_ms": 3000.5, "stopped_ms": 2000.0}
    return told | members


def log(folder: Path, *records: Any) -> str:
    path = folder / "log"
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in records))
    return str(path)


@pytest.mark.parametrize(
    ("records", "found"),
    [
        ([], {}),
        ([record()], {"savevm": 2.0}),
        ([record(stopped_ms=0.0)], {"savevm": 3.0005}),
        ([record(stopped_ms=None, duration_ms=7)], {"savevm": 0.007}),
        ([record(), record("loadvm", stopped_ms=500.0), record(stopped_ms=1000.0)], {"savevm": 1.0, "loadvm": 0.5}),
        # Neither another VM's, nor one that failed or was lost, nor another command.
        (
            [record(vm="vm2"), record(failed=True), record(failed=None), record("delvm"), record(command_line="savevm")],
            {"savevm": 2.0},
        ),
        ([record(duration_ms="1"), record(hmp_command=None)], {}),
        # Neither what is no record.
        (["savevm", '["savevm"]', '"savevm"', "[" * 100_000 + "savevm", "", "\0"], {}),
    ],
)
def test_last_of_this_vm_that_went_well_counts(tmp_path: Path, records: list[Any], found: dict[str, float]) -> None:
    assert taken_s(log(tmp_path, *records), "vm1") == found


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = log(tmp_path, record("loadvm"), *[record()] * 20)
    monkeypatch.setattr(earlier, "_READ_BYTES", 1000)
    assert taken_s(path, "vm1") == {"savevm": 2.0}


def test_what_is_no_file_tells_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "none", tmp_path, tmp_path / "fifo", "/dev/null", "a\0b"):
        assert taken_s(str(path), "vm1") == {}


def test_log_that_cannot_be_read_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: int) -> bytes:
        raise OSError("the disk is gone")

    path = log(tmp_path, record())
    monkeypatch.setattr(os, "pread", fail)
    assert taken_s(path, "vm1") == {}


def test_own_records_are_read() -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, executing(qemu.path, name="vm1") as bench:
            for line in ("savevm t", "loadvm t", "loadvm absent"):
                await bench.executor.hmp(HMPLine.read(line))
            assert list(taken_s(bench.audit_path, "vm1")) == ["savevm", "loadvm"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("own", "of_proxy", "path"),
    [
        (None, None, None),
        (None, "/log", "/log"),
        (None, "log", None),
        (None, "-", None),
        (None, "syslog:/dev/log", None),
        (AuditSettings("log"), "/log", "log"),
        (AuditSettings("syslog:"), "/log", "/log"),
    ],
)
def test_log_that_can_be_read(own: AuditSettings | None, of_proxy: str | None, path: str | None) -> None:
    assert log_file(own, of_proxy) == path

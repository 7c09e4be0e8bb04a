"""`hmp-audit` as a program: its forms, what it reads, its exit statuses, and ends that come early."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.audit.audit_records import a_record, log_of
from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S

FAILED: Final[dict[str, Any]] = a_record("loadvm x", failed=True, reply={"return": "Error: no\r\n"})


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-X", "dev", "-W", "error", "-m", "audit", *arguments]


def run(*arguments: str, data: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    env = os.environ | environment
    return subprocess.run(
        program(*arguments), cwd=ROOT, input=data, capture_output=True, check=False, env=env, timeout=DEADLINE_S
    )


@pytest.fixture
def log(tmp_path: Path) -> str:
    return log_of(tmp_path / "log", [a_record(), FAILED])


def test_table_is_the_default(log: str) -> None:
    done = run("report", log)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"1 of 1 tool still uses HMP")


def test_json(log: str) -> None:
    assert json.loads(run("report", "--json", log).stdout)["hmp_count"] == 2


def test_csv(log: str) -> None:
    rows = list(csv.DictReader(run("report", "--csv", log).stdout.decode().splitlines()))
    assert [row["command"] for row in rows] == ["loadvm", "savevm"]


def test_page(log: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = run("report", "--html", str(page), log)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert run("report", "--html", "-", log).stdout.startswith(b"<!DOCTYPE html>")


def test_page_that_cannot_be_written(log: str, tmp_path: Path) -> None:
    done = run("report", "--html", str(tmp_path / "none" / "page.html"), log)
    assert done.returncode == 3
    assert done.stderr.decode() == f"hmp-audit: cannot write {tmp_path}/none/page.html: No such file or directory\n"


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_standard_input_and_files_together(log: str, pack: Any) -> None:
    done = run("report", "--json", "-", log, data=pack(Path(log).read_bytes()))
    assert json.loads(done.stdout)["log"]["records"] == 4


def test_log_that_cannot_be_read_is_told_and_the_rest_is_used(log: str) -> None:
    done = run("report", "--json", "/none", log)
    assert done.returncode == 3
    assert done.stderr == b"hmp-audit: cannot read /none: No such file or directory\n"
    assert json.loads(done.stdout)["log"]["records"] == 2


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--fail-on", "hmp"], 1),
        (["--fail-on", "hmp", "--allow", "savevm"], 1),
        (["--fail-on", "hmp", "--allow", "savevm", "--allow", "loadvm"], 0),
        (["--fail-on", "blocked"], 0),
        (["--fail-on", "error"], 1),
        (["--fail-on", "error", "--tool", "none"], 0),
        (["--fail-on", "empty", "--tool", "none"], 1),
        (["--fail-on", "silent,overwritten,incomplete"], 0),
    ],
)
def test_statuses_for_jobs(log: str, options: list[str], status: int) -> None:
    done = run("report", *options, log)
    assert done.returncode == status
    assert (done.stderr != b"") == bool(status)


def test_reasons_for_jobs_are_told(log: str) -> None:
    assert run("report", "--fail-on", "hmp,error", log).stderr.decode().splitlines() == [
        "hmp-audit: tool (user 1000) used HMP's loadvm (once), from /bin/tool",
        "hmp-audit: tool (user 1000) used HMP's savevm (once), from /bin/tool",
        "hmp-audit: loadvm of tool (user 1000) failed: Error: no (once), from /bin/tool",
    ]


def test_check(log: str) -> None:
    assert run("check", log).returncode == 0
    Path(log).write_bytes(b"junk\n")
    done = run("check", log)
    assert done.returncode == 1
    assert f"{log}:1: ".encode() in done.stdout


def test_follow_to_the_end_of_standard_input() -> None:
    done = run("follow", "-", data=json.dumps(FAILED).encode() + b"\n")
    assert done.returncode == 0
    assert b"loadvm x" in done.stdout
    assert b"\x1b" not in done.stdout


def test_follow_is_interrupted(log: str) -> None:
    with subprocess.Popen(program("follow", log), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while b"loadvm x" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 130
        assert process.stderr.read() == b""


@pytest.mark.parametrize("options", [["--json"], ["--csv"], []], ids=["json", "csv", "table"])
def test_reader_that_has_enough(tmp_path: Path, options: list[str]) -> None:
    path = log_of(tmp_path / "log", [a_record(exe=f"/bin/tool{number}") for number in range(2000)])
    command = program("report", *options, path)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(DEADLINE_S) == 0
        assert process.stderr.read() == b""


def test_names_that_the_encoding_has_not_are_spelled(tmp_path: Path) -> None:
    done = run("report", log_of(tmp_path / "log", [a_record(exe="/bin/é")]), PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0
    assert b"\\xe9" in done.stdout

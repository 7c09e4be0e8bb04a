"""`hmp-audit` from its command line to its exit status, in this process. test_audit_program.py starts the program."""

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from audit.__main__ import main
from tests.support.audit_records import a_record, log_of, observed
from tests.support.standard_input import standard_input

FAILED = a_record("loadvm x", failed=True, reply={"return": "Error: no\r\n"})


@pytest.fixture
def log(tmp_path: Path) -> str:
    return log_of(tmp_path / "log", [a_record(), FAILED])


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return the program as a function of its arguments."""

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["hmp-audit", *arguments])
        return main()

    return call


@pytest.mark.parametrize(
    ("options", "begin"),
    [
        ([], "1 of 1 tool still uses HMP"),
        (["--json"], "{"),
        (["--csv"], "host,executable,"),
        (["--html", "-"], "<!DOCTYPE html>"),
    ],
)
def test_report_in_each_form(
    run: Callable[..., int], log: str, capsys: pytest.CaptureFixture[str], options: list[str], begin: str
) -> None:
    assert run("report", *options, log) == 0
    told = capsys.readouterr()
    assert told.out.startswith(begin)
    assert told.err == ""


@pytest.mark.parametrize(
    ("target", "status", "told"),
    [("11.1", 0, "Nothing breaks on QEMU 11.1: "), ("no-hmp", 1, "On a QEMU without HMP, of the HMP commands ")],
)
def test_report_of_what_breaks(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, status: int, told: str
) -> None:
    log = log_of(tmp_path / "log", [a_record(), a_record("stop", action="passed")])
    assert run("report", "--target", target, "--fail-on", "gone", "--json", log) == status
    assert json.loads(capsys.readouterr().out)["outlook"]["verdict"].startswith(told)


def test_report_of_the_switch(run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "--fail-on", "differs", log_of(tmp_path / "log", [observed()])) == 0
    assert capsys.readouterr().out.startswith("1 of 1 answer would be the same in mode rewrite.\n\n1 of 1 tool still uses HMP")
    assert (
        run("report", "--fail-on", "differs", log_of(tmp_path / "log", [observed(), observed("loadvm x", "", "Error: no")]))
        == 1
    )
    told = "hmp-audit: mode rewrite would answer otherwise: HMP succeeds, and rewriting would not: Error: no (once)\n"
    assert capsys.readouterr().err == told


def test_page_in_a_file(run: Callable[..., int], log: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "--html", str(tmp_path / "page.html"), log) == 0
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert run("report", "--html", str(tmp_path), log) == 3
    assert capsys.readouterr() == ("", f"hmp-audit: cannot write {tmp_path}: Is a directory\n")


def test_finding_and_unreadable_log_are_told_with_a_status(
    run: Callable[..., int], log: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("report", "--fail-on", "error", log) == 1
    assert capsys.readouterr().err == "hmp-audit: loadvm failed: Error: no (once)\n"
    assert run("report", "/none", log) == 3
    assert capsys.readouterr().err == "hmp-audit: cannot read /none: No such file or directory\n"


def test_check(run: Callable[..., int], log: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", log) == 0
    assert "2 " in capsys.readouterr().out


def test_scan(run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text('vm.hmp("savevm t")')
    assert run("scan", "--fail-on", "sure", str(tmp_path)) == 1
    told = capsys.readouterr()
    assert told.out.startswith(f"{tmp_path}/a.py:1:4: savevm by hmp() - snapshot-save")
    assert told.err == "hmp-audit: the sources use HMP for sure (1 finding)\n"
    assert run("scan", "/none") == 3


def test_follow(run: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    with standard_input(json.dumps(FAILED).encode()):
        assert run("follow", "-") == 0
    assert "loadvm x" in capfd.readouterr().out


def test_ctrl_c_has_its_status(
    run: Callable[..., int], log: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("audit.check.check", interrupted)
    assert run("check", log) == 130
    assert capsys.readouterr() == ("", "")


@contextmanager
def nobody_reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """Have a pipe on standard output whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        yield output


def test_reader_that_has_enough_is_no_failure(run: Callable[..., int], log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with nobody_reads(monkeypatch) as output:
        assert run("report", "--json", log) == 0
        # What comes after it goes nowhere.
        output.write("more")
        output.flush()


def test_name_that_the_encoding_has_not_is_spelled(
    run: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert run("report", log_of(tmp_path / "log", [a_record(exe="/bin/é")])) == 0
    assert rb"/bin/\xe9" in written.getvalue()


def test_stream_without_an_encoding_is_written_to(run: Callable[..., int], log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where somebody redirects it inside Python."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    assert run("report", "--json", log) == 0
    assert json.loads(written.getvalue())["hmp_count"] == 2

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
from tests.support.audit.audit_records import a_record, log_of, observed
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
        (["--csv"], "tool,place,"),
        (["--html", "-"], "<!DOCTYPE html>"),
        (["--format", "markdown"], "## 1 of 1 tool"),
        (["--format", "sarif"], "{"),
        (["--format", "ocsf"], '{"category_uid": 2'),
        (["--format", "junit", "--fail-on", "incomplete"], "<testsuites>"),
    ],
)
def test_report_in_each_form(
    run: Callable[..., int], log: str, capsys: pytest.CaptureFixture[str], options: list[str], begin: str
) -> None:
    assert run("report", *options, log) == 0
    told = capsys.readouterr()
    assert told.out.startswith(begin)
    assert told.err == ""


def test_report_of_what_stopped(run: Callable[..., int], log: str, capsys: pytest.CaptureFixture[str]) -> None:
    end = ["--until", "2026-11-30", "--fail-on", "hmp"]
    assert run("report", *end, log) == 1
    assert run("report", *end, "--quiet-days", "30", log) == 1
    capsys.readouterr()
    assert run("report", *end, "--quiet-days", "3", log) == 0
    assert capsys.readouterr().out.startswith("Done: no HMP was used for 3 days.\n")


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


def test_baseline(run: Callable[..., int], log: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "--fail-on", "hmp", "--json", log) == 1
    (tmp_path / "accepted").write_text(capsys.readouterr().out)
    options = ["--baseline", str(tmp_path / "accepted"), "--format", "sarif", "--fail-on", "hmp,error"]
    assert run("report", *options, log) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert {one["baselineState"] for one in json.loads(told.out)["runs"][0]["results"]} == {"unchanged"}


def test_diff(run: Callable[..., int], log: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("diff", log, log_of(tmp_path / "new", [a_record("stop")]), "--fail-on", "new") == 1
    told = capsys.readouterr()
    assert told.out.startswith("HMP commands a week: ")
    assert told.err == "hmp-audit: tool uses HMP's stop (new: once, before: 0 times)\n"


def test_baseline_of_a_scan(run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text('vm.hmp("savevm t")\n')
    assert run("scan", "--json", str(tmp_path)) == 0
    accepted = tmp_path / "accepted"
    accepted.write_text(capsys.readouterr().out)
    assert run("scan", "--fail-on", "hmp", "--baseline", str(accepted), str(tmp_path / "a.py")) == 0
    assert "in the baseline: 1" in capsys.readouterr().out


def test_page_in_a_file(run: Callable[..., int], log: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "--html", str(tmp_path / "page.html"), log) == 0
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert run("report", "--html", str(tmp_path), log) == 3
    assert capsys.readouterr() == ("", f"hmp-audit: cannot write {tmp_path}: Is a directory\n")


def test_finding_and_unreadable_log_are_told_with_a_status(
    run: Callable[..., int], log: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("report", "--fail-on", "error", log) == 1
    assert capsys.readouterr().err == "hmp-audit: loadvm of tool (user 1000) failed: Error: no (once), from /bin/tool\n"
    assert run("report", "/none", log) == 3
    assert capsys.readouterr().err == "hmp-audit: cannot read /none: No such file or directory\n"


def test_log_that_is_given_twice_is_told_and_is_no_error(
    run: Callable[..., int], log: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = f"{log} is given twice, and is counted once"
    for form in ([], ["--csv"], ["--html", "-"]):
        assert run("report", *form, log, log) == 0
        shown = capsys.readouterr()
        assert shown.err == f"hmp-audit: {told}\n"
        assert form == ["--csv"] or told in " ".join(shown.out.split())
    assert run("report", "--json", log, log) == 0
    assert json.loads(capsys.readouterr().out)["log"]["given_twice"] == [told]


@pytest.mark.parametrize("columns", ["40", "80", "200"])
@pytest.mark.parametrize(
    "form",
    [
        *(["--all"], ["--summary"], ["--json"], ["--csv"], ["--html", "-"]),
        *(["--format", form] for form in ("markdown", "sarif", "ocsf")),
        ["--format", "junit", "--fail-on", "hmp"],
    ],
)
def test_each_form_tells_where_scripts_of_one_name_are(
    run: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    form: list[str],
    columns: str,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    paths = ("/srv/a/hmp1.py", "/srv/b/hmp1.py")
    records = [a_record(tool="hmp1.py", exe="/usr/bin/python3", argv=["python3", path], user="root") for path in paths]
    run("report", *form, log_of(tmp_path / "log", records))
    told = capsys.readouterr().out
    assert all(path in told for path in paths)


def test_summary_is_one_screen(run: Callable[..., int], log: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "--summary", log) == 0
    told = capsys.readouterr().out
    assert told.startswith("1 of 1 tool still uses HMP")
    assert "\nWhat failed, the newest first\n  2026-11-24 10:00 tool, loadvm, once: Error: no\n" in told


def test_table_has_the_width_that_columns_says_and_any_without(
    run: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_of(tmp_path / "log", [a_record(exe=f"/bin/{'name-' * 40}")])
    monkeypatch.delenv("COLUMNS", raising=False)
    assert run("report", log) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) > 200
    monkeypatch.setenv("COLUMNS", "60")
    for option in ("--all", "--summary"):
        assert run("report", option, log) == 0
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


@pytest.mark.parametrize("form", [[], ["--summary"], ["--json"], ["--csv"], ["--html", "-"], ["--fail-on", "hmp"]])
def test_file_that_is_no_log_is_an_error_and_no_report(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    (tmp_path / "page").write_text("<!DOCTYPE html>\n<html></html>\n")
    assert run("report", *form, str(tmp_path / "page")) == 3
    assert capsys.readouterr() == ("", f"hmp-audit: {tmp_path}/page is not an audit log: it is an HTML page\n")


def test_file_that_is_no_log_among_others_is_told_after_their_report(
    run: Callable[..., int], log: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "syslog").write_text("Nov 24 17:00:01 h1 cron[13]: hello\n")
    assert run("report", log, str(tmp_path / "syslog")) == 3
    told = capsys.readouterr()
    assert told.out.startswith("1 of 1 tool still uses HMP")
    assert told.err == f"hmp-audit: {tmp_path}/syslog is not an audit log: it is text without a record\n"


def test_empty_log_is_no_error(run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of(tmp_path / "log", [])
    assert run("report", log) == 0
    told = capsys.readouterr()
    assert " ".join(told.out.split()) == f"Nothing to judge: there are no records. no records, from {log}"
    assert told.err == ""


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
    assert rb"\xe9" in written.getvalue()


def test_stream_without_an_encoding_is_written_to(run: Callable[..., int], log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where somebody redirects it inside Python."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    assert run("report", "--json", log) == 0
    assert json.loads(written.getvalue())["hmp_count"] == 2

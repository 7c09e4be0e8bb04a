"""`hmp-audit`'s command line."""

from datetime import UTC, datetime
from typing import Any

import pytest

from audit.command_line import parse_command_line
from audit.counting.filters import Filters
from audit.invocations import CheckInvocation, DiffInvocation, FollowInvocation, ReportInvocation, ScanInvocation
from audit.reporting.quiet import within_days
from audit.reporting.target import Target

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def parsed(*arguments: str) -> Any:
    return parse_command_line(arguments, NOW)


def test_report_with_nothing_but_logs() -> None:
    assert parsed("report", "a", "-", "b.gz") == ReportInvocation(
        paths=("a", "-", "b.gz"), filters=Filters(), form="table", html=None, fail_on=frozenset(), allow=frozenset()
    )


def test_report_with_everything() -> None:
    options = ["--since", "7d", "--until", "2026-11-20", "--vm", "v*", "--vm", "w", "--tool", "t", "--json"]
    found = parsed("report", *options, "--fail-on", "hmp,error", "--fail-on", "empty", "--allow", "info block", "log")
    assert found.filters == Filters("2026-11-17T12:00:00.000000Z", "2026-11-21T00:00:00.000000Z", ("v*", "w"), ("t",))
    assert (found.form, found.fail_on, found.allow) == ("json", {"hmp", "error", "empty"}, {"info block"})


@pytest.mark.parametrize(
    ("options", "form", "html"),
    [
        ([], "table", None),
        (["--summary"], "summary", None),
        (["--csv"], "csv", None),
        (["--html", "p.html"], "html", "p.html"),
        (["--html", "-"], "html", "-"),
    ],
)
def test_forms(options: list[str], form: str, html: str | None) -> None:
    found = parsed("report", *options, "log")
    assert (found.form, found.html) == (form, html)


@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown", "sarif", "ocsf"])
def test_form_by_its_name(form: str) -> None:
    assert parsed("report", "--format", form, "log").form == form


def test_baselines() -> None:
    assert parsed("report", "--fail-on", "hmp", "--baseline", "b", "log").baseline == "b"
    assert parsed("report", "--format", "sarif", "--baseline", "b", "log").baseline == "b"
    assert parsed("scan", "--baseline", "b", "log").baseline == "b"


def test_diff() -> None:
    assert parsed("diff", "a", "-") == DiffInvocation("a", "-", "text", Filters(), frozenset(), frozenset())
    options = ["--format", "markdown", "--fail-on", "new,failures", "--allow", "stop", "--tool", "t"]
    found = DiffInvocation("a", "b", "markdown", Filters(tools=("t",)), frozenset({"new", "failures"}), frozenset({"stop"}))
    assert parsed("diff", *options, "a", "b") == found


def test_table_with_all() -> None:
    assert (parsed("report", "log").has_all, parsed("report", "--all", "log").has_all) == (False, True)


def test_target() -> None:
    assert parsed("report", "log").target is None
    assert parsed("report", "--target", "11.2", "log").target == Target((11, 2))
    found = parsed("report", "--target", "no-hmp", "--fail-on", "gone", "--allow", "stop", "log")
    assert (found.target, found.fail_on, found.allow) == (Target(None), {"gone"}, {"stop"})


def test_quiet_days() -> None:
    assert parsed("report", "log").quiet is None
    assert parsed("report", "--quiet-days", "14", "log").quiet == within_days(14, NOW)
    ended = parsed("report", "--quiet-days", "14", "--until", "2026-11-20", "log").quiet
    assert ended == within_days(14, datetime(2026, 11, 21, tzinfo=UTC))
    assert parsed("report", "--quiet-days", "14", "--until", "2026-11-24", "log").quiet == within_days(14, NOW)


@pytest.mark.parametrize("days", ["0", "-1", "x", "", "1.5", "36501", "9" * 5000, "\u0665"])
def test_number_of_days_that_is_none(days: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("report", f"--quiet-days={days}", "log")
    assert "write 1 to 36500" in " ".join(capsys.readouterr().err.split())


def test_follow() -> None:
    assert parsed("follow", "log") == FollowInvocation("log", 10, False)
    assert parsed("follow", "-", "--lines", "0", "--details") == FollowInvocation("-", 0, True)


def test_check() -> None:
    assert parsed("check", "a", "b") == CheckInvocation(("a", "b"))


def test_scan() -> None:
    assert parsed("scan", "a") == ScanInvocation(("a",), "text", (), 4, frozenset(), frozenset())
    options = ["--exclude", "v", "--exclude", "*.c", "--max-file-mib", "1", "--fail-on", "hmp,sure", "--allow", "info", "--csv"]
    assert parsed("scan", "a", "b", *options) == ScanInvocation(
        ("a", "b"), "csv", ("v", "*.c"), 1, frozenset({"hmp", "sure"}), frozenset({"info"})
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "hmp-audit: the following arguments are required: command"),
        (["rapport"], "invalid choice: 'rapport'"),
        (["report"], "hmp-audit report: the following arguments are required: FILE"),
        (["report", "log", "--since", "yesterday"], "argument --since: invalid time 'yesterday'; write 2026-11-24"),
        (["report", "log", "--until", "9999-12-31"], "argument --until: "),
        (["report", "log", "--json", "--csv"], "not allowed with argument --json"),
        (["report", "log", "--html", "p", "--csv"], "not allowed with argument"),
        (["report", "log", "--summary", "--all"], "argument --all: not allowed with argument --summary"),
        (["report", "log", "--fail-on", "hmp,hpm"], "'hpm' is not one of hmp, blocked, gone, deprecated, differs, error"),
        (["report", "log", "--allow", "stop"], "--allow needs --fail-on hmp, blocked, gone or deprecated"),
        (
            ["report", "log", "--allow", "stop", "--fail-on", "error"],
            "--allow needs --fail-on hmp, blocked, gone or deprecated",
        ),
        (["report", "log", "--target", "newest"], "argument --target: invalid target 'newest'; write a release of QEMU"),
        (["report", "log", "--target", "5.2"], "argument --target: QEMU 5.2 is older than what is known here: 7.2 to "),
        (["report", "log", "--fail-on", "gone"], "--fail-on gone and deprecated need --target"),
        (["report", "log", "--fail-on", "error,deprecated"], "--fail-on gone and deprecated need --target"),
        (["follow"], "the following arguments are required: FILE"),
        (["follow", "log", "--lines", "-1"], "--lines takes a whole number, 0 or more"),
        (["scan"], "the following arguments are required: DIR"),
        (["scan", "a", "--max-file-mib", "0"], "--max-file-mib takes a whole number, 1 or more"),
        (["scan", "a", "--allow", "stop"], "--allow needs --fail-on hmp or sure"),
        (["scan", "a", "--fail-on", "silent"], "'silent' is not one of hmp, sure, incomplete"),
        (["check"], "the following arguments are required: FILE"),
        (["report", "log", "--format", "junit"], "--format junit needs --fail-on, whose conditions are its tests"),
        (["report", "log", "--baseline", "b"], "--baseline needs --fail-on or --format sarif"),
        (["diff", "log"], "the following arguments are required: NEW"),
        (["diff", "-", "-"], "only one of OLD and NEW can be standard input"),
        (["diff", "a", "b", "--allow", "stop", "--fail-on", "failures"], "--allow needs --fail-on new or more"),
        (["diff", "a", "b", "--format", "csv"], "invalid choice: 'csv'"),
    ],
)
def test_wrong_use_is_told_in_one_line(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        parsed(*arguments)
    told = capsys.readouterr().err
    assert exited.value.code == 2
    assert error in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("command", [[], ["report"], ["follow"], ["check"], ["diff"], ["scan"]])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        parsed(*command, "--help")
    assert exited.value.code == 0
    assert "usage: hmp-audit" in capsys.readouterr().out

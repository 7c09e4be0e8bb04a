"""What stopped long ago is no alarm: in the states, the headline, the next changes and --fail-on."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from audit.fail_on import violations
from audit.reporting.headline import headline
from audit.reporting.next_changes import next_changes
from audit.reporting.quiet import quieten, within_days
from audit.reporting.report import Quiet, Report, State
from audit.reporting.target import foresee, parse_target
from tests.support.audit.audit_records import a_record, report_of

END = datetime(2026, 11, 24, 12, tzinfo=UTC)
TWO_WEEKS = within_days(14, END)
MODERN: dict[str, Any] = {"command_line": None, "execute": "snapshot-save", "action": "modern", "hmp_command": None}


def modern(**members: Any) -> dict[str, Any]:
    return a_record(**MODERN | members)


def quietened(folder: Path, *records: dict[str, Any]) -> Report:
    return quieten(report_of(folder, *records), TWO_WEEKS)


def states(report: Report) -> dict[str, State]:
    return {use.tool.name: use.state for use in report.tools}


def test_days_are_counted_from_the_end() -> None:
    assert within_days(14, END) == Quiet(14, "2026-11-24T12:00:00.000000Z", "2026-11-10T12:00:00.000000Z")


def test_tool_whose_hmp_stopped_is_quiet(tmp_path: Path) -> None:
    report = quietened(
        tmp_path,
        *(a_record("stop", exe="/bin/stopped", day=10, action="passed"), a_record("stop", exe="/bin/works", action="passed")),
        *(a_record(exe="/bin/covered", day=11), modern(exe="/bin/modern", day=1)),
    )
    assert list(states(report).items()) == [
        *(("works", State.BLOCKED), ("covered", State.COVERED)),
        *(("stopped", State.QUIET), ("modern", State.MODERN)),
    ]


@pytest.mark.parametrize(("time", "state"), [("11:59:59.999999", State.QUIET), ("12:00:00.000000", State.COVERED)])
def test_moment_decides(tmp_path: Path, time: str, state: State) -> None:
    report = quietened(tmp_path, a_record(time=f"2026-11-10T{time}Z"))
    assert states(report) == {"tool": state}


def test_command_that_stopped_blocks_nothing(tmp_path: Path) -> None:
    report = quietened(tmp_path, a_record("info block", day=1, action="passed"), a_record())
    (use,) = report.tools
    assert (use.state, use.blockers) == (State.COVERED, ())
    assert {command.name: command.is_quiet for command in use.commands} == {"info block": True, "savevm": False}
    assert [change.command for change in next_changes(report.tools, 1)] == ["savevm"]


def test_quiet_tool_that_went_over_to_qmp_is_quiet(tmp_path: Path) -> None:
    assert states(quietened(tmp_path, a_record(day=1), modern())) == {"tool": State.QUIET}


def test_headline_takes_them_out_and_names_them(tmp_path: Path) -> None:
    report = quietened(tmp_path, a_record(), a_record(exe="/bin/old", day=2), a_record(exe="/bin/older", day=1))
    found = headline(report)
    assert found.text == "1 of 3 tools still uses HMP, and the shim does all of it."
    assert found.details[-1] == "2 are quiet: old (last on 2026-11-02) and older (last on 2026-11-01)."


def test_all_quiet_is_done(tmp_path: Path) -> None:
    found = headline(quietened(tmp_path, a_record(day=1), modern()))
    assert (found.state, found.text) == (State.QUIET, "Done: no HMP was used for 14 days.")
    assert found.details == ("1 is quiet: tool (last on 2026-11-01).",)


def test_all_modern_is_done_as_without_the_option(tmp_path: Path) -> None:
    assert headline(quietened(tmp_path, modern())).text == "Done: no HMP was used."


def test_log_that_ended_long_ago_is_asked_about(tmp_path: Path) -> None:
    report = quietened(tmp_path, a_record(day=1))
    assert headline(report).details[-1] == "No record is of the last 14 days: is the log still written?"
    (found,) = violations(report, {"empty"}, frozenset())
    assert found.text == "there is no record of the last 14 days: is the log still written, and this file?"
    assert violations(quietened(tmp_path, modern()), {"empty"}, frozenset()) == []


@pytest.mark.parametrize("condition", ["hmp", "blocked", "gone"])
def test_fail_on_takes_them_out(tmp_path: Path, condition: str) -> None:
    log = report_of(tmp_path, a_record("info rdma", day=1, action="passed"), modern())
    target = parse_target("11.1")
    loud, quiet = (replace(report, outlook=foresee(report.tools, target)) for report in (log, quieten(log, TWO_WEEKS)))
    assert violations(loud, {condition}, frozenset()) != []
    assert violations(quiet, {condition}, frozenset()) == []

"""What a CI job can fail on."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from audit.counting.filters import Filters
from audit.counting.report_builder import make_report
from audit.fail_on import CONDITIONS, violations
from audit.reporting.report import Report
from audit.reporting.target import foresee, parse_target
from tests.support.audit.audit_records import a_record, log_of, observed, report_of, sent

MODERN: dict[str, Any] = a_record(None, execute="snapshot-save", action="modern", reply={"return": {}})
FAILED: dict[str, Any] = a_record("loadvm x", failed=True, reply={"return": "Error: no\r\n"})

FROM: Final = ", from /bin/tool"


def found(report: Report, condition: str, *allow: str) -> list[str]:
    return [violation.text for violation in violations(report, {condition}, frozenset(allow))]


def test_log_without_hmp_meets_all(tmp_path: Path) -> None:
    assert violations(report_of(tmp_path, MODERN), CONDITIONS.keys(), frozenset()) == []


def test_nothing_is_wanted_nothing_is_found(tmp_path: Path) -> None:
    assert violations(report_of(tmp_path, FAILED), frozenset(), frozenset()) == []


def test_hmp_but_for_what_is_allowed(tmp_path: Path) -> None:
    report = report_of(tmp_path, a_record(), a_record(), a_record("info block -v", action="passed"), MODERN)
    savevm = "tool (user 1000) used HMP's savevm (2 times), from /bin/tool"
    info = "tool (user 1000) used HMP's info block (once), from /bin/tool"
    assert found(report, "hmp") == [savevm, info]
    assert found(report, "hmp", "savevm") == [info]
    assert found(report, "hmp", "info block") == [savevm]
    assert found(report, "hmp", "info", "savevm") == []
    assert found(report, "hmp", "info status") == [savevm, info]


def test_blocked_is_what_the_shim_does_not_do(tmp_path: Path) -> None:
    report = report_of(tmp_path, a_record(), a_record("stop", action="passed"))
    text = "tool (user 1000) used HMP's stop, which is not done by the shim (once), from /bin/tool"
    assert found(report, "blocked") == [text]
    assert found(report, "blocked", "stop") == []


def test_gone_and_deprecated_there_but_for_what_is_allowed(tmp_path: Path) -> None:
    log = report_of(tmp_path, a_record("info rdma"), a_record("wavcapture x"), a_record("stop"), MODERN)
    report = replace(log, outlook=foresee(log.tools, parse_target("11.1")))
    assert found(report, "gone") == ["tool (user 1000) used HMP's info rdma, which QEMU 11.1 does not have (once)" + FROM]
    assert found(report, "gone", "info") == found(report, "gone", "info rdma") == []
    wavcapture = "tool (user 1000) used HMP's wavcapture, which is deprecated in QEMU 11.1 (once)"
    assert found(report, "deprecated") == [wavcapture + FROM]
    assert found(report, "deprecated", "wavcapture") == []


def test_observed_answers_that_differ_or_are_not_known(tmp_path: Path) -> None:
    excluded = [{"node": "n", "device": "d0", "included": False, "reason": "excluded by the configuration"}]
    cannot = "Error: Device 'd0' is writable but does not support snapshots\r\n"
    report = report_of(tmp_path, observed(hmp=cannot, nodes=excluded), observed(hmp=None), observed(nodes=excluded), observed())
    choice = "the policy leaves out 'd0' (excluded by the configuration)"
    assert found(report, "differs") == [
        f"mode rewrite would answer otherwise: HMP refuses, and rewriting would not: {choice} (once)",
        "what mode rewrite would answer is not known: QEMU gave no answer (once)",
    ]
    assert found(report_of(tmp_path, observed()), "differs") == found(report_of(tmp_path, FAILED), "differs") == []


def test_nobody_asked_what_is_gone(tmp_path: Path) -> None:
    assert found(report_of(tmp_path, a_record("info rdma")), "gone") == []


def test_error(tmp_path: Path) -> None:
    assert found(report_of(tmp_path, FAILED), "error") == ["loadvm of tool (user 1000) failed: Error: no (once)" + FROM]


def test_silent(tmp_path: Path) -> None:
    behind = a_record(None, execute="cont", action="went_on", reply=None, failed=None, after_failure="loadvm x")
    text = "tool (user 1000) went on after a failed loadvm (once)"
    assert found(report_of(tmp_path, FAILED, behind), "silent") == [text + FROM]


def test_overwritten(tmp_path: Path) -> None:
    report = report_of(tmp_path, a_record(qmp=sent("snapshot-delete", "snapshot-save")))
    assert found(report, "overwritten") == ["tool (user 1000) saved over a snapshot of vm1 (once)" + FROM]


def test_tool_without_a_path_is_from_nowhere(tmp_path: Path) -> None:
    failed = FAILED | {"client": FAILED["client"] | {"exe": None, "address": "192.0.2.17:4444"}}
    assert found(report_of(tmp_path, failed), "error") == ["loadvm of 192.0.2.17 (user 1000) failed: Error: no (once)"]


def test_empty(tmp_path: Path) -> None:
    assert found(report_of(tmp_path), "empty") == ["there is no record: was the audit log switched on, and is it this file?"]
    assert found(report_of(tmp_path, MODERN), "empty") == []


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (['{"schema":2'], "damaged lines: 1"),
        ([], "logs that cannot be read: 1"),
    ],
)
def test_incomplete_by_lines(tmp_path: Path, lines: list[str], text: str) -> None:
    path = tmp_path / "log"
    if lines:
        path.write_text("\n".join(lines))
    report = make_report([str(path)], Filters())
    assert found(report, "incomplete") == [f"the logs are not complete: {text}"]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_condition_wants_whole_logs(tmp_path: Path, condition: str) -> None:
    """The record that cannot be read may be the one that the job looks for."""
    path = log_of(tmp_path / "log", [MODERN])
    with open(path, "a") as file:
        file.write('{"schema":3,"torn\n')
    assert found(make_report([path], Filters()), condition) == ["the logs are not complete: damaged lines: 1"]


def test_without_a_condition_nothing_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("torn")
    assert violations(make_report([str(path)], Filters()), frozenset(), frozenset()) == []


def test_incomplete_by_records(tmp_path: Path) -> None:
    begun = a_record("delvm x", action="begun", reply=None, failed=None)
    path = log_of(tmp_path / "log", [begun, a_record(lost_before=3)])
    assert found(make_report([path], Filters()), "incomplete") == [
        "the logs are not complete: records that could not be written: 3",
        "the logs are not complete: commands without an outcome on record: 1",
    ]

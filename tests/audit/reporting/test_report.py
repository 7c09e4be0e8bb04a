"""What a report's values say of themselves."""

from pathlib import Path
from typing import Any

from audit.reporting.report import State
from shim.records.audit import Action
from tests.support.audit.audit_records import a_record, report_of

MODERN: dict[str, Any] = a_record(None, execute="snapshot-save", action=Action.MODERN, reply={"return": {}})


def test_totals_are_over_all_commands(tmp_path: Path) -> None:
    report = report_of(tmp_path, a_record(), a_record("info block", action="passed"), MODERN, MODERN)
    (use,) = report.tools
    assert (use.hmp_count, use.modern_count, report.hmp_count, report.modern_count) == (2, 2, 2, 2)
    assert (use.total("rewritten"), use.total("passed"), use.total("count")) == (1, 1, 4)


def test_states_are_told_in_words() -> None:
    assert [state.value for state in State] == ["modern", "covered by the shim", "blocked", "quiet"]


def test_hosts_of_a_tool_are_named_or_counted(tmp_path: Path) -> None:
    (one,) = report_of(tmp_path, a_record(), a_record()).tools
    (several,) = report_of(tmp_path, a_record(host="b"), a_record(), a_record(host="c", exe="/opt/tool")).tools
    (unknown,) = report_of(tmp_path, a_record(host="")).tools
    assert (one.seen_on, several.seen_on, unknown.seen_on) == ("h1", "3 hosts", "")
    assert (several.hosts, several.executables) == (("b", "c", "h1"), ("/bin/tool", "/opt/tool"))

"""What a report's values say of themselves."""

from pathlib import Path
from typing import Any

import pytest

from audit.report import State, Tool
from shim.audit import Action
from tests.support.audit_records import a_record, report_of

MODERN: dict[str, Any] = a_record(None, execute="snapshot-save", action=Action.MODERN, reply={"return": {}})


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        (Tool("h", "/bin/tool", 0, ""), "/bin/tool"),
        (Tool("h", "", -1, "tcp:192.0.2.1"), "tcp:192.0.2.1"),
        (Tool("", "", -1, ""), "unknown program"),
    ],
)
def test_tool_has_a_name(tool: Tool, name: str) -> None:
    assert tool.name == name


def test_totals_are_over_all_commands(tmp_path: Path) -> None:
    report = report_of(tmp_path, a_record(), a_record("info block", action="passed"), MODERN, MODERN)
    (use,) = report.tools
    assert (use.hmp_count, use.modern_count, report.hmp_count, report.modern_count) == (2, 2, 2, 2)
    assert (use.total("rewritten"), use.total("passed"), use.total("count")) == (1, 1, 4)


def test_states_are_told_in_words() -> None:
    assert [state.value for state in State] == ["modern", "covered by the shim", "blocked"]

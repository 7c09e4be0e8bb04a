"""Two reports compared."""

from pathlib import Path
from typing import Any

import pytest

from audit.comparing.difference import Kind, StateChange
from tests.support.audit.audit_records import a_record, sent
from tests.support.audit.compared_reports import compared


def week(*records: dict[str, Any]) -> list[dict[str, Any]]:
    """Return records with ones that make the period a week."""
    modern = {"action": "modern", "reply": {"return": {}}, "qmp": sent("snapshot-save")}
    return [*records, *(a_record(None, execute="snapshot-save", day=day, exe="/bin/modern", **modern) for day in (1, 7))]


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [(0, 1, Kind.NEW), (1, 0, Kind.GONE), (1, 2, Kind.MORE), (2, 1, Kind.LESS), (10, 11, Kind.SAME), (10, 9, Kind.SAME)],
)
def test_kinds(tmp_path: Path, old: int, new: int, kind: Kind) -> None:
    found = compared(tmp_path, week(*[a_record(day=3)] * old), week(*[a_record(day=3)] * new))
    (change,) = found.changes
    assert (change.kind, change.tool, change.command) == (kind, "tool", "savevm")
    assert (change.old, change.new, change.old_week, change.new_week) == (old, new, old, new)
    assert change.instead.startswith("snapshot-save (")


def test_longer_period_is_not_more(tmp_path: Path) -> None:
    """What counts is how often in a week."""
    found = compared(tmp_path, [a_record(day=day) for day in range(1, 8)], [a_record(day=day) for day in range(1, 15)])
    assert [(change.kind, change.old, change.new) for change in found.changes] == [(Kind.SAME, 7, 14)]
    assert (found.old.days, found.new.days) == (7, 14)


def test_machines_and_users_are_added_up(tmp_path: Path) -> None:
    found = compared(tmp_path, [a_record(), a_record(host="h2")], [a_record(uid=1), a_record(host="h3")])
    assert [(change.kind, change.old, change.new) for change in found.changes] == [(Kind.SAME, 2, 2)]


def test_new_ones_come_first_and_the_greatest_of_each_kind(tmp_path: Path) -> None:
    old = week(a_record("stop", action="passed"), a_record(), *[a_record("info block", action="passed")] * 2)
    new = week(a_record("cont", action="passed"), *[a_record("delvm x")] * 2, *[a_record()] * 2, a_record("info block"))
    found = compared(tmp_path, old, new)
    assert [(change.kind.value, change.command) for change in found.changes] == [
        *(("new", "delvm"), ("new", "cont"), ("more", "savevm"), ("less", "info block"), ("gone", "stop"))
    ]


def test_states_and_new_failures(tmp_path: Path) -> None:
    failed = a_record("loadvm x", failed=True, reply={"return": "Error: no\r\n"})
    found = compared(tmp_path, [a_record(), a_record(exe="/bin/b")], [a_record("stop", action="passed"), failed, failed])
    assert found.states == (
        StateChange("b", "covered by the shim", ""),
        StateChange("tool", "covered by the shim", "blocked"),
    )
    assert found.failures == (("Error: no", 2),)


def test_reports_without_records(tmp_path: Path) -> None:
    found = compared(tmp_path, [], [a_record("no_such")])
    assert found.old.days == 0
    assert [(change.kind, change.old_week, change.instead) for change in found.changes] == [(Kind.NEW, 0.0, "not known")]

"""What needs attention is visible on a terminal that is too small for all VMs."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from proxy.control.fitting import fitted_table
from proxy.control.status import PatternStatus, PauseStatus, State, VMStatus
from proxy.control.table import as_table
from tests.support.processes.vm_statuses import BUSY, OFF

FAILED: Final = replace(BUSY, name="failed", running=None, pause=None, failures=BUSY.failures[-1:])
PAUSED: Final = replace(FAILED, name="paused", pause=PauseStatus(5.0, None), failures=())
NOW: Final = datetime.fromisoformat(BUSY.failures[-1].time) + timedelta(hours=1)


def idle(name: str) -> VMStatus:
    return VMStatus(name, "unix:/q", State.SERVED, qemu="10.0.13", policy="auto", mode="rewrite")


def shown(
    vms: Sequence[VMStatus],
    columns: int = 80,
    lines: int = 24,
    *,
    patterns: Sequence[PatternStatus] = (),
    notes: Sequence[str] = (),
    now: datetime = NOW,
) -> list[str]:
    return fitted_table(vms, patterns, notes, columns=columns, lines=lines, now=now).splitlines()


def names(table: Sequence[str]) -> list[str]:
    """Return the names of the rows, to the first line that is none."""
    rows = [line.split(" ")[0] for line in (*table[1:], "")]
    return [name for name in rows[: rows.index("")] if name != "…"]


@pytest.mark.parametrize("vms", [[], [idle("a")], [PAUSED, OFF], [idle(f"vm{number}") for number in range(20)]])
def test_table_that_fits_is_the_whole_one(vms: list[VMStatus]) -> None:
    patterns = [PatternStatus("/run/a/*", 0)]
    assert shown(vms, 500, patterns=patterns) == as_table(vms, patterns=patterns).splitlines()


def test_trouble_comes_first_where_not_all_fit() -> None:
    vms = [*(idle(f"vm{number}") for number in range(1, 42)), FAILED, OFF, PAUSED, BUSY]
    table = shown(vms)
    assert len(table) == 24
    assert names(table) == ["a", "failed", "paused", "long-name", *(f"vm{number}" for number in range(1, 15))]
    failure = r"'loadvm \x1b': Error: not found (/usr/bin/tool"
    reasons = [f"a: {failure}", f"failed: {failure}", r"long-name: nobody\nis there"]
    assert [line for line, begins in zip(table[20:23], reasons, strict=True) if not line.startswith(begins)] == []
    assert table[-1] == "… and 27 more VMs"


def test_order_is_that_of_names_where_all_fit() -> None:
    assert names(shown([idle("vm1"), OFF, BUSY])) == ["vm1", "long-name", "a"]


def test_failure_of_long_ago_needs_no_attention() -> None:
    vms = [idle("vm1"), idle("vm2"), FAILED]
    assert names(shown(vms, lines=3)) == ["failed"]
    assert names(shown(vms, lines=3, now=NOW + timedelta(days=1))) == ["vm1"]


def test_reasons_take_a_third_where_all_vms_have_one() -> None:
    table = shown([replace(OFF, name=f"vm{number}") for number in range(1, 46)])
    assert (len(table), len(names(table))) == (24, 15)
    assert [line.split(":")[0] for line in table[17:-1]] == [f"vm{number}" for number in range(1, 7)]
    assert table[-1] == "… and 30 more VMs, 39 more reasons"


def test_reasons_take_what_the_rows_leave() -> None:
    patterns = [PatternStatus(f"/run/{number}/*", 0) for number in range(30)]
    table = shown([idle("a")], patterns=patterns)
    assert (len(table), names(table), table[-1]) == (24, ["a"], "… and 10 more reasons")


def test_what_matters_is_visible_at_80_columns() -> None:
    pause = PauseStatus(86_000.0, 86_000.0)
    vms = [replace(BUSY, name="a-name-of-a-virtual-machine", pause=pause), *(idle(f"vm{number}") for number in range(44))]
    head, first, *_ = shown(vms)
    assert head.split() == ["VM", "STATE", "FAILED", "RUNNING"]
    assert first.startswith("a-name-of…  served, paused ")
    assert "savevm nightly" in first[:80]
    assert " 3 " in first[:80]


def test_columns_go_one_by_one() -> None:
    """The least important one first."""
    vms = [idle("vm1")]
    heads = {tuple(shown(vms, columns)[0].split()) for columns in range(20, 110)}
    whole = ("VM", "STATE", "QEMU", "POLICY", "MODE", "CLIENTS", "WAITING", "COMMANDS", "DONE", "FAILED", "RUNNING")
    assert len(heads) == 8
    assert whole in heads
    assert {head for head in heads if not {"VM", "STATE", "FAILED", "RUNNING"} <= set(head)} == set()
    assert all(len(line) <= 80 for line in shown(vms, 80))


@pytest.mark.parametrize("lines", range(1, 60))
def test_no_line_is_lost_without_a_word(lines: int) -> None:
    vms = [*(idle(f"vm{number}") for number in range(15)), *(replace(OFF, name=f"off{number}") for number in range(15))]
    table = shown(vms, lines=lines)
    assert len(table) <= max(lines, 2)
    hidden = 30 - len(names(table))
    assert (f"… and {hidden} more VM" in table[-1]) == bool(hidden)


def test_now_is_compared_with_any_zone() -> None:
    assert names(shown([idle("vm1"), idle("vm2"), FAILED], lines=3, now=NOW.astimezone(UTC))) == ["failed"]


def test_process_that_takes_over_is_shown_before_other_reasons() -> None:
    """Wherever it fits; a VM that this process has handed over needs no attention."""
    given = replace(idle("given"), state=State.HANDED_OVER, qemu="10.0")
    notes = ["hmpshim 9.9 has been taking over for 1s"]
    assert shown([given, OFF], 500, notes=notes) == as_table([given, OFF], notes=notes).splitlines()
    vms = [*(idle(f"vm{number}") for number in range(1, 42)), given, OFF]
    table = shown(vms, notes=notes)
    assert names(table)[0] == "long-name"
    assert table[-4:-1] == ["", notes[0], r"long-name: nobody\nis there"]


def test_qemu_that_does_not_answer_comes_before_what_has_failed() -> None:
    vms = [*(idle(f"vm{number}") for number in range(1, 42)), FAILED, replace(idle("silent"), silent_s=90.0), BUSY]
    assert names(shown(vms))[:4] == ["a", "silent", "failed", "vm1"]


def test_failure_that_repeats_is_told_with_how_often() -> None:
    failed = replace(FAILED, failures=(replace(FAILED.failures[-1], count=7),))
    table = shown([*(idle(f"vm{number}") for number in range(1, 42)), failed], 200)
    assert [line for line in table if line.startswith("failed: ") and line.endswith(", 7 times)")]

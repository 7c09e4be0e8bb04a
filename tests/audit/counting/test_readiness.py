"""How far a tool is, told from its commands."""

from typing import Any

import pytest

from audit.counting.readiness import blockers, hmp_replacement, state
from audit.reporting.report import CommandUse, State
from shim.hmp.replacements import Replacement


def use(name: str, count: int = 1, **counts: int) -> CommandUse:
    is_hmp = not name.startswith("snapshot-")
    given: dict[str, Any] = (
        dict.fromkeys(("rewritten", "passed", "observed", "refused", "failed", "unknown", "silent"), 0) | counts
    )
    replacement = hmp_replacement(name) if is_hmp else None
    return CommandUse(name, is_hmp, replacement, count, **given, first="", last="")


def judged(*uses: CommandUse) -> tuple[State, list[tuple[str, str]]]:
    found = blockers(uses, {"savevm": "QEMU has no snapshot jobs"})
    return state(uses, found), [(blocker.command, blocker.advice) for blocker in found]


def test_qmps_own_commands_are_modern() -> None:
    assert judged(use("snapshot-save")) == (State.MODERN, [])


@pytest.mark.parametrize("name", ["savevm", "loadvm", "delvm", "info snapshots"])
def test_what_the_shim_does_is_covered(name: str) -> None:
    assert judged(use(name, 2, rewritten=2), use("snapshot-save")) == (State.COVERED, [])


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("info block", "use QMP: query-block and query-named-block-nodes"),
        ("change", "use QMP: blockdev-change-medium and display-update (display-update for VNC addresses)"),
        ("gva2gpa", "no QMP equivalent"),
        ("nonsense", "not an HMP command known here"),
    ],
)
def test_other_hmp_blocks_with_what_is_to_be_done(name: str, advice: str) -> None:
    assert judged(use("savevm", rewritten=1), use(name, passed=1)) == (State.BLOCKED, [(name, advice)])


def test_snapshot_command_that_qemu_always_had_to_do_blocks() -> None:
    blocked = (State.BLOCKED, [("savevm", "QEMU got it as it was: QEMU has no snapshot jobs")])
    assert judged(use("savevm", 2, passed=2)) == blocked


def test_one_mistyped_savevm_does_not_block() -> None:
    assert judged(use("savevm", 5, passed=1, rewritten=4)) == (State.COVERED, [])


def test_info_snapshots_may_be_qemus_own_answer() -> None:
    assert judged(use("info snapshots", 2, passed=2)) == (State.COVERED, [])


def test_observed_commands_are_covered() -> None:
    assert judged(use("savevm", 2, observed=2)) == (State.COVERED, [])


def test_replacement_is_looked_up_by_the_records_name() -> None:
    assert hmp_replacement("info status") == Replacement(("query-status",))
    assert hmp_replacement("stop") == Replacement(("stop",))
    assert hmp_replacement("(others)") is None

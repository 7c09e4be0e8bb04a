"""The headline answers who still depends on HMP, and does not call done what is not known."""

from dataclasses import replace

from audit.reporting.headline import headline
from audit.reporting.report import Blocker, Report, State, ToolUse
from tests.support.audit.sample_report import BACKUP, EMPTY_LOG, EMPTY_REPORT, sample_report

SAMPLE = sample_report()


def of(*states: State, lost: int = 0) -> Report:
    kept: list[ToolUse] = [use for state in states for use in SAMPLE.tools if use.state is state]
    return replace(SAMPLE, tools=tuple(kept), log=replace(EMPTY_LOG, records=10, lost=lost))


def test_blocked_tools_are_told_with_what_blocks_them() -> None:
    found = headline(of(State.BLOCKED, State.COVERED, State.MODERN))
    assert found.state is State.BLOCKED
    assert found.text == "5 of 6 tools still use HMP; 1 is blocked by info block, info qtree, change and frobnicate."
    assert found.details[0] == "4 are covered by the shim: they work on behind the proxy, and would still need HMP without it."
    assert found.details[1] == "The last HMP command came on 2026-11-23 21:48 UTC."


def test_very_long_command_does_not_fill_the_verdict() -> None:
    blocked = replace(SAMPLE.tools[0], blockers=(Blocker("x" * 1000, "advice"),))
    found = headline(replace(SAMPLE, tools=(blocked,)))
    assert found.text == f"1 of 1 tool still uses HMP; 1 is blocked by {'x' * 40}…."


def test_covered_tools_are_not_done() -> None:
    found = headline(of(State.COVERED))
    assert (found.state, found.text) == (State.COVERED, "4 of 4 tools still use HMP, and the shim does all of it.")


def test_modern_tools_are_done() -> None:
    found = headline(of(State.MODERN))
    assert (found.state, found.text) == (State.MODERN, "Done: no HMP was used.")
    assert found.details == ("1 tool sent 388 snapshot commands of QMP's own.",)
    assert SAMPLE.tools[-1].tool == BACKUP


def test_what_is_missing_is_told() -> None:
    assert (
        headline(of(State.MODERN, lost=2)).details[-1] == "2 records lost or damaged: what they held is not in these numbers."
    )
    assert headline(SAMPLE).details[-2:] == (
        "120 records left out by the filters: this is not all that is in the log.",
        "7 records lost or damaged and 1 log not read to the end: what they held is not in these numbers.",
    )


def test_nothing_is_no_success() -> None:
    assert headline(EMPTY_REPORT).text == "Nothing to judge: there are no records."
    left_out = replace(EMPTY_REPORT, log=replace(EMPTY_LOG, left_out=3))
    assert headline(left_out).text == "Nothing to judge: all 3 records were left out by the filters."
    recovered = replace(EMPTY_REPORT, log=replace(EMPTY_LOG, records=1))
    assert headline(recovered).text == "Nothing to judge: no tool used HMP, or QMP's snapshot commands."
    assert headline(recovered).state is None

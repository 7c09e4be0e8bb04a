"""What one tool did, counted."""

import pytest

from audit.counting.tool_tally import OTHERS, CommandTally, ToolTally
from audit.reporting.parties import Tool
from tests.support.audit.audit_records import a_record


def count(tool: ToolTally, *records: dict[str, object]) -> None:
    """Count them as the tally does, times and days aside."""
    for record in records:
        way = tool.way(record)
        way.outcome.count += 1
        way.days["2026-11-24"] += 1


@pytest.fixture
def tool() -> ToolTally:
    return ToolTally(Tool("tool"))


def test_counts_are_those_of_the_outcomes() -> None:
    command = CommandTally()
    for action, failed, first, last in (("passed", False, "b", "c"), ("passed", True, "a", "b"), ("refused", True, "c", "d")):
        outcome = command.outcomes[action, failed]
        outcome.count, outcome.first, outcome.last = 1, first, last
    command.outcomes["rewritten", None].count = 4
    assert (command.count, command.first, command.last) == (7, "a", "d")
    assert (command.by_action("passed"), command.by_action("passed", "rewritten")) == (2, 6)
    assert [command.by_failure(failed) for failed in (True, False, None)] == [2, 1, 4]


def test_command_without_an_outcome_was_never_used() -> None:
    command = CommandTally()
    assert (command.count, command.last) == (0, "")
    assert command.first > "9999"


def test_records_that_are_alike_are_counted_in_one_place(tool: ToolTally) -> None:
    assert tool.way(a_record("stop")) is tool.way(a_record("stop", day=3))
    assert tool.way(a_record("stop")) is not tool.way(a_record("stop", action="passed"))
    assert tool.way(a_record("stop")).command is tool.way(a_record("stop", action="passed")).command


def test_nothing_is_lost_where_too_many_kinds_are_to_be_known_again(tool: ToolTally) -> None:
    """The names are made up, so there are few commands, and what is not known again is looked up again."""
    count(tool, *(a_record(f"x{number}", action="passed") for number in range(2500)), a_record("x0", action="passed"))
    assert tool.commands["x0", True].count == 2
    assert sum(command.count for command in tool.commands.values()) == tool.days["2026-11-24"] == 2501
    assert tool.commands[OTHERS, True].count == 2400


def test_what_the_prompt_does_by_qmp_is_no_hmp(tool: ToolTally) -> None:
    record = a_record("savevm t")
    record["client"] |= {"prompt": True}
    count(tool, record)
    assert list(tool.commands) == [("snapshot-save", False)]
    assert (sum(tool.days.values()), sum(tool.modern_days.values())) == (0, 1)


def test_saves_and_loads_are_on_the_timeline_unless_they_were_abandoned(tool: ToolTally) -> None:
    lines = [("savevm t", "rewritten"), ("loadvm t", "passed"), ("savevm t", "abandoned"), ("delvm t", "rewritten")]
    ways = [tool.way(a_record(line, action=action)) for line, action in lines]
    assert [way.is_on_timeline for way in ways] == [True, True, False, False]

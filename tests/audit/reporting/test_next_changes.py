"""The order of what to change next."""

from dataclasses import replace

from audit.reporting.next_changes import Change, next_changes
from audit.reporting.parties import VM
from audit.reporting.ready import Ready
from audit.reporting.report import CommandUse, State, Tool, ToolUse
from tests.support.audit.sample_report import command_use


def tool(name: str, *commands: CommandUse, place: str = "a.service", hosts: tuple[str, ...] = ("h1",)) -> ToolUse:
    paths = (f"/opt/{name}", f"/{place}/{name}")
    return ToolUse(Tool(name, place), State.COVERED, (), commands, "", "", "", hosts, paths=paths)


def steps(*tools: ToolUse) -> list[tuple[str, str, int, int]]:
    """Return of each step the program, the command, how much HMP it removes, and how many tools it makes modern."""
    return [(one.name, one.command, one.count, len(one.modern)) for one in next_changes(tools, 1)]


def test_what_makes_a_tool_modern_comes_before_what_removes_more() -> None:
    busy = tool("busy", command_use("savevm", 900), command_use("loadvm", 800))
    assert steps(busy, tool("small", command_use("savevm", 3))) == [
        ("small", "savevm", 3, 1),
        ("busy", "savevm", 900, 0),
        ("busy", "loadvm", 800, 1),
    ]


def test_program_is_changed_once_for_all_places() -> None:
    three = [tool("everywhere", command_use("savevm", 10), place=place) for place in ("a", "b", "c")]
    assert steps(tool("one", command_use("savevm", 500)), *three) == [
        ("everywhere", "savevm", 30, 3),
        ("one", "savevm", 500, 1),
    ]


def test_each_step_counts_on_those_before_it() -> None:
    """After `a` both tools have one command left, so the rest comes before what removes more."""
    first = tool("p", command_use("a-first", 50), command_use("savevm", 1), place="a")
    second = tool("p", command_use("a-first", 50), command_use("loadvm", 2), place="b")
    third = tool("q", command_use("savevm", 40), command_use("delvm", 40))
    known = [replace(use, commands=tuple(map(replaceable, use.commands))) for use in (first, second, third)]
    assert steps(*known) == [
        *(("p", "a-first", 100, 0), ("p", "loadvm", 2, 1), ("p", "savevm", 1, 1)),
        *(("q", "delvm", 40, 0), ("q", "savevm", 40, 1)),
    ]


def replaceable(use: CommandUse) -> CommandUse:
    return replace(use, replacement=command_use("stop", 1).replacement)


def test_ties_are_in_the_order_of_names() -> None:
    both = (command_use("stop", 5), command_use("cont", 5))
    names = [(name, command) for name, command, _, _ in steps(tool("b", *both), tool("a", *both))]
    assert names == [("a", "cont"), ("a", "stop"), ("b", "cont"), ("b", "stop")]


def test_what_cannot_be_replaced_comes_last() -> None:
    odd = tool("odd", command_use("info qtree", 900), command_use("frobnicate", 800))
    found = next_changes([odd, tool("q", command_use("savevm", 1))], 1)
    assert [(one.command, one.can_be_replaced) for one in found] == [
        *(("savevm", True), ("info qtree", False), ("frobnicate", False)),
    ]


def test_modern_commands_and_quiet_ones_need_no_change() -> None:
    quiet = replace(command_use("stop", 5), is_quiet=True)
    assert steps(tool("a", quiet, command_use("snapshot-save", 7, is_hmp=False))) == []
    assert steps(tool("a", quiet, command_use("cont", 7))) == [("a", "cont", 7, 1)]


def test_step_has_the_latest_example_and_the_rate() -> None:
    ready = Ready(VM("h2", "vm2"), "stop", ('{"execute": "stop"}',))
    old = replace(command_use("stop", 10), last="2026-11-01", ready=ready)
    new = replace(command_use("stop", 5), last="2026-11-02")
    ((change),) = next_changes([tool("a", old, hosts=("h1", "h3")), tool("a", new, place="b", hosts=("h2", "h3"))], 45 / 7)
    assert isinstance(change, Change)
    assert (change.count, change.per_week, change.last, change.ready) == (15, 2.3, "2026-11-02", ready)
    assert [one.place for one in change.tools] == ["a.service", "b"]
    assert change.hosts == ("h1", "h3", "h2")
    assert change.paths == ("/opt/a", "/a.service/a", "/b/a")


def test_many_tools_with_many_commands_take_no_time() -> None:
    many = [tool(f"t{number}", *(command_use(f"c{command}", command + 1) for command in range(100))) for number in range(50)]
    found = steps(*many)
    assert len(found) == 5000
    assert sum(modern for *_, modern in found) == 50

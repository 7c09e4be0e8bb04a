"""The tables of the page, each a section with its heading, or with a sentence where there is nothing to list."""

from collections.abc import Sequence
from typing import Final

from audit.page.elements import Child, Element, make
from audit.page.tables import NOTHING, Cell, Column, amount, cell, long_text, pause, stacked, table, text, time
from audit.report import Blocker, CommandUse, Report, State, Tool, ToolUse
from audit.wording import counted, number

__all__ = ["section", "state_mark", "tables"]

# All of a tool's commands are in the table of commands; one row must not be a page long.
_BLOCKERS: Final = 8
_HMP_COUNTS: Final = (
    *(("Rewritten", "rewritten"), ("Passed", "passed"), ("Observed", "observed"), ("Refused", "refused")),
    *(("Failed", "failed"), ("No reply", "unknown"), ("Silent", "silent")),
)
_STATES: Final = {
    State.BLOCKED: ("blocked", "M3 3l8 8m0 -8l-8 8"),
    State.COVERED: ("covered", "M7 1.5a5.5 5.5 0 0 0 0 11z"),
    State.MODERN: ("modern", "M2.5 7.5l3 3l6 -7"),
}


def tables(report: Report) -> list[Element]:
    """Return all sections with tables, in their order."""
    return [
        _tools(report),
        _commands(report),
        _failures(report),
        _silent_failures(report),
        _overwritings(report),
        _standstills(report),
    ]


def section(name: str, heading: str, intro: str, *children: Child) -> Element:
    """Return a section that the tiles can lead to. intro: "" where the heading says it all."""
    lead = make("p", intro, class_="intro") if intro else None
    title = make("h2", heading, id=f"{name}-heading")
    return make("section", title, lead, *children, id=name, aria_labelledby=f"{name}-heading")


def state_mark(state: State) -> Element:
    """Draw the mark that stands before a state's word."""
    look, path = _STATES[state]
    ring = make("circle", cx=7, cy=7, r=5.5) if state is State.COVERED else None
    shape = make("path", d=path, class_="half" if ring is not None else None)
    return make("svg", ring, shape, viewBox="0 0 14 14", class_=f"state-mark {look}", aria_hidden="true")


def _listing(name: str, heading: str, intro: str, nothing: str, columns: Sequence[Column], rows: list[list[Cell]]) -> Element:
    if not rows:
        return section(name, heading, "", make("p", nothing, class_="empty"))
    return section(name, heading, intro, table(heading, columns, rows))


def _state(state: State) -> Cell:
    return cell(make("span", state_mark(state), state.value, class_="state"), value=state.value)


def _uid(tool: Tool) -> Cell:
    return cell(NOTHING if tool.uid < 0 else str(tool.uid), value="" if tool.uid < 0 else tool.uid)


def _name(tool: Tool) -> Cell:
    return Cell((tool.name,), tool.name, look="name")


def _tools(report: Report) -> Element:
    counts = _shown_counts([command for use in report.tools for command in use.commands])
    columns = [
        *(Column("State"), Column("Tool"), Column("Blocked by, and what to do"), Column("HMP", is_number=True)),
        *(Column(heading, is_number=True) for heading, _ in counts),
        *(Column("QMP's own", is_number=True), Column("First (UTC)"), Column("Last (UTC)"), Column("Last HMP (UTC)")),
        *(Column("User id", is_number=True), Column("Host")),
    ]
    rows = [
        [
            *(_state(use.state), _name(use.tool), _blockers(use), amount(use.hmp_count)),
            *(amount(use.total(member)) for _, member in counts),
            *(amount(use.modern_count), time(use.first), time(use.last), time(use.last_hmp)),
            *(_uid(use.tool), text(use.tool.host)),
        ]
        for use in report.tools
    ]
    intro = (
        "Blocked: it uses HMP that must first be replaced. Covered: the shim does all the HMP that it uses. "
        "Modern: it uses QMP's own snapshot commands, and no HMP."
    )
    return _listing("tools", "Tools", intro, "No tool used HMP, or QMP's snapshot commands.", columns, rows)


def _shown_counts(commands: Sequence[CommandUse]) -> list[tuple[str, str]]:
    """Choose the columns: what happens in some modes only, or seldom, has one where it happened."""
    seldom = {"observed", "unknown"}
    return [
        (heading, member)
        for heading, member in _HMP_COUNTS
        if member not in seldom or any(getattr(command, member) for command in commands)
    ]


def _blockers(use: ToolUse) -> Cell:
    if not use.blockers:
        return cell(NOTHING, value="")
    lines = [_blocker(blocker) for blocker in use.blockers[:_BLOCKERS]]
    more = len(use.blockers) - len(lines)
    rest = make("div", f"and {number(more)} more, in the table of commands") if more else None
    return Cell((*lines, rest), ", ".join(blocker.command for blocker in use.blockers), look="long")


def _blocker(blocker: Blocker) -> Element:
    return make("div", make("b", blocker.command), f": {blocker.advice}")


def _commands(report: Report) -> Element:
    uses = [(use.tool, command) for use in report.tools for command in use.commands]
    counts = _shown_counts([command for _, command in uses])
    columns = [
        *(Column("Tool"), Column("Command"), Column("Replaced by"), Column("Count", is_number=True)),
        *(Column(heading, is_number=True) for heading, _ in counts),
        *(Column("First (UTC)"), Column("Last (UTC)"), Column("User id", is_number=True), Column("Host")),
    ]
    rows = [
        [
            *(_name(tool), _command(command), long_text(_replaced_by(command)), amount(command.count)),
            *(amount(getattr(command, member)) for _, member in counts),
            *(time(command.first), time(command.last), _uid(tool), text(tool.host)),
        ]
        for tool, command in uses
    ]
    return _listing("commands", "Commands", "Which commands each tool used.", "No command was used.", columns, rows)


def _command(command: CommandUse) -> Cell:
    return Cell((make("b", command.name),), command.name, look="command")


def _replaced_by(command: CommandUse) -> str:
    if not command.is_hmp:
        return "nothing: it is QMP's own"
    return "not known to this table" if command.replacement is None else str(command.replacement)


def _failures(report: Report) -> Element:
    columns = [
        *(Column("Text"), Column("Count", is_number=True), Column("Commands"), Column("Nodes")),
        *(Column("What was decided, and why"), Column("Tools"), Column("VMs"), Column("First (UTC)"), Column("Last (UTC)")),
    ]
    rows = [
        [
            *(long_text(failure.text), amount(failure.count), stacked(failure.commands), stacked(failure.nodes)),
            *(stacked(failure.reasons), stacked([tool.name for tool in failure.tools])),
            *(stacked([vm.name for vm in failure.vms]), time(failure.first), time(failure.last)),
        ]
        for failure in report.failures
    ]
    intro = "By what their texts say, with TAG in place of the tag."
    return _listing("failures", "Failures", intro, "No command failed.", columns, rows)


def _silent_failures(report: Report) -> Element:
    columns = [
        *(Column("Tool"), Column("Failed"), Column("Count", is_number=True)),
        *(Column("What it did next"), Column("Last (UTC)")),
    ]
    rows = [
        [
            *(_name(silent.tool), text(silent.command), amount(silent.count)),
            *(stacked(silent.next_commands), time(silent.last)),
        ]
        for silent in report.silent_failures
    ]
    intro = (
        "HMP tells a failure only by the text of its reply. These tools went on as if the command had worked: "
        "they may believe in snapshots that do not exist."
    )
    nothing = "No tool went on after a failure that only the reply's text told."
    return _listing("silent", "Silent failures", intro, nothing, columns, rows)


def _overwritings(report: Report) -> Element:
    columns = [Column("Tool"), Column("VM"), Column("Host"), Column("Count", is_number=True), Column("Last (UTC)")]
    rows = [
        [_name(over.tool), _vm(over.vm.name), text(over.vm.host), amount(over.count), time(over.last)]
        for over in report.overwritings
    ]
    intro = "A savevm with a tag that exists replaces that snapshot, without a question. These are gone."
    return _listing("overwritten", "Snapshots overwritten", intro, "No snapshot was overwritten.", columns, rows)


def _vm(name: str) -> Cell:
    return Cell((name or NOTHING,), name, look="name")


def _standstills(report: Report) -> Element:
    columns = [
        *(Column("VM"), Column("Host"), Column("Command"), Column("Count", is_number=True)),
        *(Column(heading, is_number=True) for heading in ("Half of them within", "95 % within", "Longest")),
    ]
    rows = [
        [
            *(_vm(still.vm.name), text(still.vm.host), text(still.command), amount(still.count)),
            *(pause(still.p50_ms), pause(still.p95_ms), pause(still.max_ms)),
        ]
        for still in report.standstills
    ]
    total = counted(sum(still.count for still in report.standstills), "time")
    intro = f"How long the VMs stood still in a command, {total} in all."
    return _listing("standstill", "Standstill", intro, "No VM stood still in a command.", columns, rows)

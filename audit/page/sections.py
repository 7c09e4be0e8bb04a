"""The tables of the page, each in a section with a heading, or a sentence instead if there is nothing to list."""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from audit.page.elements import Child, Element, make, words
from audit.page.tables import (
    NOTHING,
    Cell,
    Column,
    amount,
    cell,
    command,
    fold,
    long_text,
    name,
    pause,
    stacked,
    table,
    text,
    time,
)
from audit.reporting.report import CommandUse, Report, State, Tool, ToolUse
from audit.reporting.wording import counted

__all__ = ["Label", "section", "state_mark", "tables"]

Label: TypeAlias = Callable[[Tool], str]
"""How the page calls a tool, so that it is no other one of the report."""

# Limits, so that one row does not fill a page.
_BLOCKERS: Final = 2
_PATHS: Final = 2
_HMP_COUNTS: Final = (
    *(("Rewritten", "rewritten"), ("Passed", "passed"), ("Observed", "observed"), ("Refused", "refused")),
    *(("Failed", "failed"), ("No reply", "unknown"), ("Silent", "silent")),
)
_STATES: Final = {
    State.BLOCKED: ("blocked", "M3 3l8 8m0 -8l-8 8"),
    State.COVERED: ("covered", "M7 1.5a5.5 5.5 0 0 0 0 11z"),
    State.MODERN: ("modern", "M2.5 7.5l3 3l6 -7"),
    State.QUIET: ("quiet", "M4.5 4v6M9.5 4v6"),
}


def tables(report: Report, label: Label) -> list[Element]:
    """Return all sections with tables, in order."""
    return [
        _tools(report),
        _commands(report),
        _failures(report, label),
        _silent_failures(report, label),
        _overwritings(report, label),
        _standstills(report),
    ]


def section(place: str, heading: str, intro: str, *children: Child) -> Element:
    """Return a section that can be linked to. place: its anchor. intro: a sentence, "" if the heading says it all."""
    lead = make("p", intro, class_="intro") if intro else None
    title = make("h2", heading, id=f"{place}-heading")
    return make("section", title, lead, *children, id=place, aria_labelledby=f"{place}-heading")


def state_mark(state: State) -> Element:
    """Return the mark that precedes the name of a state."""
    look, path = _STATES[state]
    ring = make("circle", cx=7, cy=7, r=5.5) if state is State.COVERED else None
    shape = make("path", d=path, class_="half" if ring is not None else None)
    return make("svg", ring, shape, viewBox="0 0 14 14", class_=f"state-mark {look}", aria_hidden="true")


def _listing(place: str, heading: str, intro: str, nothing: str, columns: Sequence[Column], rows: list[list[Cell]]) -> Element:
    if not rows:
        return section(place, heading, "", make("p", nothing, class_="empty"))
    return section(place, heading, intro, table(heading, columns, rows))


def _state(state: State) -> Cell:
    return cell(make("span", state_mark(state), state.value, class_="state"), value=state.value)


def _tools(report: Report) -> Element:
    columns = [
        *(Column("Tool"), Column("State"), Column("Blocked by, and what to do"), Column("HMP", is_number=True)),
        *(Column(heading, is_number=True) for heading, _ in _HMP_COUNTS),
        *(Column("QMP's own", is_number=True), Column("First (UTC)"), Column("Last (UTC)"), Column("Last HMP (UTC)")),
        *(Column("Runs in"), Column("User"), Column("Host")),
    ]
    rows = [
        [
            *(_program(use), _state(use.state), _blockers(use), amount(use.hmp_count)),
            *(amount(use.total(member)) for _, member in _HMP_COUNTS),
            *(amount(use.modern_count), time(use.first), time(use.last), time(use.last_hmp)),
            *(text(use.tool.place), text(use.tool.user), text(use.seen_on)),
        ]
        for use in report.tools
    ]
    intro = (
        "Blocked: it uses HMP that must first be replaced. Covered: the shim does all the HMP that it uses. "
        "Quiet: its HMP stopped longer ago than was asked for. Modern: it uses QMP's own snapshot commands, and no HMP."
    )
    return _listing("tools", "Tools", intro, "No tool used HMP, or QMP's snapshot commands.", columns, rows)


def _program(use: ToolUse) -> Cell:
    """Name a tool, with the paths of its script and its program below its name. The other tables only have the name."""
    paths = [make("div", *words(path), class_="path") for path in dict.fromkeys((*use.paths, *use.executables))]
    return Cell((*words(use.tool.name), *fold(paths, _PATHS)), use.tool.name, look="name")


def _blockers(use: ToolUse) -> Cell:
    lines = [make("div", make("b", *words(blocker.command)), ": ", *words(blocker.advice)) for blocker in use.blockers]
    return Cell(
        tuple(fold(lines, _BLOCKERS)) or (NOTHING,), ", ".join(blocker.command for blocker in use.blockers), look="long"
    )


def _commands(report: Report) -> Element:
    columns = [
        *(Column("Tool"), Column("Command"), Column("Replaced by"), Column("Count", is_number=True)),
        *(Column(heading, is_number=True) for heading, _ in _HMP_COUNTS),
        *(Column("First (UTC)"), Column("Last (UTC)"), Column("Runs in"), Column("User"), Column("Host")),
    ]
    rows = [
        [
            *(
                name(use.tool.name, ", ".join(use.paths or use.executables)),
                command(each.name),
                long_text(_replaced_by(each)),
                amount(each.count),
            ),
            *(amount(getattr(each, member)) for _, member in _HMP_COUNTS),
            *(time(each.first), time(each.last), text(use.tool.place), text(use.tool.user), text(use.seen_on)),
        ]
        for use in report.tools
        for each in use.commands
    ]
    return _listing("commands", "Commands", "Which commands each tool used.", "No command was used.", columns, rows)


def _replaced_by(used: CommandUse) -> str:
    if not used.is_hmp:
        return "nothing: it is QMP's own"
    return "no replacement known here" if used.replacement is None else str(used.replacement)


def _failures(report: Report, label: Label) -> Element:
    columns = [
        *(Column("Tool"), Column("Text"), Column("Count", is_number=True), Column("First (UTC)"), Column("Last (UTC)")),
        *(Column("Commands"), Column("VMs"), Column("Nodes"), Column("What was decided, and why")),
    ]
    rows = [
        [
            *(name(label(failure.tool), failure.tool.name), long_text(failure.text), amount(failure.count)),
            *(time(failure.first), time(failure.last), stacked(failure.commands)),
            *(stacked([vm.name for vm in failure.vms]), stacked(failure.nodes), stacked(failure.reasons)),
        ]
        for failure in report.failures
    ]
    intro = "By tool and by what their texts say, with TAG in place of the tag; the newest first."
    return _listing("failures", "Failures", intro, "No command failed.", columns, rows)


def _silent_failures(report: Report, label: Label) -> Element:
    columns = [
        *(Column("Tool"), Column("Failed"), Column("Count", is_number=True)),
        *(Column("What it did next"), Column("Last (UTC)")),
    ]
    rows = [
        [
            *(name(label(silent.tool), silent.tool.name), text(silent.command), amount(silent.count)),
            *(stacked(silent.next_commands), time(silent.last)),
        ]
        for silent in report.silent_failures
    ]
    intro = (
        "HMP reports a failure only in the text of its reply. These tools went on as if the command had worked: "
        "they may believe in snapshots that do not exist. The newest come first."
    )
    nothing = "No tool went on after a failure that only the reply's text reported."
    return _listing("silent", "Silent failures", intro, nothing, columns, rows)


def _overwritings(report: Report, label: Label) -> Element:
    columns = [
        *(Column("Tool"), Column("VM"), Column("Count", is_number=True), Column("Tags")),
        *(Column("First (UTC)"), Column("Last (UTC)"), Column("Host")),
    ]
    rows = [
        [
            *(name(label(over.tool), over.tool.name), name(over.vm.name), amount(over.count), stacked(over.tags)),
            *(time(over.first), time(over.last), text(over.vm.host)),
        ]
        for over in report.overwritings
    ]
    intro = "A savevm with a tag that exists replaces that snapshot, without a question. These are gone; the newest come first."
    return _listing("overwritten", "Snapshots overwritten", intro, "No snapshot was overwritten.", columns, rows)


def _standstills(report: Report) -> Element:
    columns = [
        *(Column("VM"), Column("Host"), Column("Command"), Column("Count", is_number=True)),
        *(Column(heading, is_number=True) for heading in ("Half of them within", "95 % within", "Longest")),
    ]
    rows = [
        [
            *(name(still.vm.name), text(still.vm.host), text(still.command), amount(still.count)),
            *(pause(still.p50_ms), pause(still.p95_ms), pause(still.max_ms)),
        ]
        for still in sorted(report.standstills, key=lambda still: -still.max_ms)
    ]
    total = counted(sum(still.count for still in report.standstills), "time")
    intro = f"How long the VMs stood still in a command, {total} in all; the longest first."
    return _listing("standstill", "Standstill", intro, "No VM stood still in a command.", columns, rows)

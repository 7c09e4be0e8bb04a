"""A report as Markdown: for a comment on a change, a wiki page, or the summary of a CI job.

What clients wrote is put into code spans, where it notifies nobody (@name), links to nothing and breaks no table.
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias

from audit.reporting.headline import headline
from audit.reporting.log_facts import log_facts
from audit.reporting.report import CommandUse, Outlook, Report, State, Tool, ToolUse
from audit.reporting.switch import Contrast, Switch
from audit.reporting.wording import answer, counted, in_one_line, listed, milliseconds, minute, tool_labels
from shim.printable import printable

__all__ = ["code", "plain", "report_as_markdown", "table"]

_BACKTICKS: Final = re.compile("`+")
_MARKUP: Final = re.compile(r"([\\`*_\[\]<>|#~@&])")
# A comment has a limit, on GitHub 65,536 characters.
_MOST_ROWS: Final = 100
_MOST_BLOCKERS: Final = 2
_MOST_NODES: Final = 8
_MOST_REASONS: Final = 5

Name: TypeAlias = Callable[[Tool], str]
"""How the report calls a tool, as a code span."""


def code(text: str) -> str:
    """Return untrusted text as a code span."""
    shown = printable(text)
    fence = "`" * (1 + max(map(len, _BACKTICKS.findall(shown)), default=0))
    padding = " " if shown.startswith("`") or shown.endswith("`") else ""
    # A bar ends a table cell, even in a code span.
    return f"{fence}{padding}{shown}{padding}{fence}".replace("|", "\\|") if shown else ""


def plain(text: str) -> str:
    """Return a sentence with all markup escaped."""
    return _MARKUP.sub(r"\\\1", printable(text))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return the lines of a table; [] if there are no rows. right: the columns of numbers."""
    if not rows:
        return []
    rules = ["---:" if index in right else "---" for index in range(len(heads))]
    lines = [_row(heads), _row(rules), *map(_row, rows[:_MOST_ROWS])]
    return [*lines, "", f"… and {len(rows) - _MOST_ROWS} more", ""] if len(rows) > _MOST_ROWS else [*lines, ""]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def report_as_markdown(report: Report) -> str:
    """Return a report for people who do not run the program themselves."""
    labels = tool_labels(use.tool for use in report.tools)

    def name(tool: Tool) -> str:
        return code(labels.get(tool, tool.name))

    sections = (
        _head(report),
        [] if report.switch is None else _switch(report.switch),
        [] if report.outlook is None else _outlook(report.outlook, name),
        _tools(report, name),
        _section("What replaces what", table(("command", "instead"), _instead(report))),
        _uses(report, name),
        _failures(report, name),
        _silent(report, name),
        _overwritings(report, name),
        _standstills(report),
        _logs(report),
    )
    return "\n".join(line for section in sections for line in section).rstrip() + "\n"


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"### {title}", "", *lines] if lines else []


def _paragraphs(*texts: str) -> list[str]:
    return [line for text in texts if text for line in (plain(text), "")]


def _head(report: Report) -> list[str]:
    found, log = headline(report), report.log
    period = f"{minute(log.first)} to {minute(log.last)} UTC" if log.records else "no time"
    details = [f"* {plain(text)}" for text in found.details]
    return [f"## {plain(found.text)}", "", *details, f"* {counted(log.records, 'record')}, {period}", ""]


def _switch(switch: Switch) -> list[str]:
    reasons = [
        (one.agreement.value, plain(one.why), _latest(one), str(one.count), minute(one.last)) for one in switch.contrasts
    ]
    vms = [(code(one.vm.name), *map(str, (one.observed, one.same, one.differ, one.unknown))) for one in switch.vms]
    lines = _paragraphs(switch.verdict, switch.note)
    lines += table(("answer", "why", "the latest", "count", "last"), reasons, right=(3,))
    lines += table(("VM", "observed", "same", "differ", "not known"), vms if len(vms) > 1 else [], right=(1, 2, 3, 4))
    return _section("Safe to switch to mode rewrite?", lines)


def _latest(contrast: Contrast) -> str:
    if not contrast.examples:
        return ""
    one = contrast.examples[0]
    answers = f"HMP {code(in_one_line(answer(one.hmp)))}, rewritten {code(in_one_line(answer(one.rewritten)))}"
    return f"{code(one.command_line)} on {code(one.vm.name)}: {answers}"


def _outlook(outlook: Outlook, name: Name) -> list[str]:
    rows = [
        (name(one.tool), code(one.command), str(one.count), one.fate.value, one.since or "-", plain(one.instead) or "-")
        for one in outlook.prospects
        if outlook.is_worth_a_table
    ]
    heads = ("tool", "command", "count", "there", "since", "instead")
    lines = [*_paragraphs(outlook.verdict, *outlook.notes), *table(heads, rows, right=(2,))]
    return _section(f"What breaks on {plain(outlook.target)}", lines)


def _tools(report: Report, name: Name) -> list[str]:
    rows = [
        (
            *(name(use.tool), ", ".join(map(code, use.paths)) or "-", plain(use.seen_on) or "-", _state(use)),
            *(str(use.hmp_count), str(use.modern_count), minute(use.last_hmp)),
        )
        for use in report.tools
    ]
    return table(("tool", "where", "host", "state", "HMP", "QMP", "last HMP"), rows, right=(4, 5))


def _state(use: ToolUse) -> str:
    if use.state is not State.BLOCKED:
        return use.state.value
    return f"blocked by {listed([code(blocker.command) for blocker in use.blockers], most=_MOST_BLOCKERS)}"


def _instead(report: Report) -> list[tuple[str, ...]]:
    used: dict[str, CommandUse] = {one.name: one for use in report.tools for one in use.commands if one.is_hmp}
    return [(code(name), plain(str(one.replacement or "not known"))) for name, one in sorted(used.items())]


def _uses(report: Report, name: Name) -> list[str]:
    rows = [
        (name(use.tool), code(command.name), str(command.count), minute(command.last))
        for use in report.tools
        for command in use.commands
        if command.is_hmp
    ]
    return _section("HMP by tool", table(("tool", "command", "count", "last"), rows, right=(2,)))


def _failures(report: Report, name: Name) -> list[str]:
    rows = [
        (
            *(
                name(one.tool),
                code(", ".join(one.commands)),
                code(one.text),
                listed(list(map(code, one.nodes)), most=_MOST_NODES),
            ),
            *(plain("; ".join(one.reasons[:_MOST_REASONS])), str(one.count), minute(one.last)),
        )
        for one in report.failures
    ]
    return _section("Failures", table(("tool", "command", "text", "nodes", "why", "count", "last"), rows, right=(5,)))


def _silent(report: Report, name: Name) -> list[str]:
    rows = [
        (name(one.tool), code(one.command), code(", ".join(one.next_commands)), str(one.count), minute(one.last))
        for one in report.silent_failures
    ]
    return _section("Went on after a failure", table(("tool", "command", "went on with", "count", "last"), rows, right=(3,)))


def _overwritings(report: Report, name: Name) -> list[str]:
    rows = [
        (name(one.tool), code(one.vm.name), code(", ".join(one.tags)), str(one.count), minute(one.last))
        for one in report.overwritings
    ]
    return _section("Snapshots saved over", table(("tool", "VM", "tags", "count", "last"), rows, right=(3,)))


def _standstills(report: Report) -> list[str]:
    rows = [
        (code(one.vm.name), code(one.command), str(one.count), *map(milliseconds, (one.p50_ms, one.p95_ms, one.max_ms)))
        for one in sorted(report.standstills, key=lambda one: -one.max_ms)
    ]
    heads = ("VM", "command", "count", "half within", "95 % within", "longest")
    return _section("How long VMs stood still", table(heads, rows, right=(2, 3, 4, 5)))


def _logs(report: Report) -> list[str]:
    facts = log_facts(report.log)
    if report.recovered:
        facts.append(f"jobs found after a lost connection, and seen to their end: {report.recovered}")
    return _section("Of the logs", [f"* {plain(fact)}" for fact in facts])

"""A report as Markdown: for a comment on a change, a wiki page, or the summary of a CI job.

What clients wrote is put into code spans, where it notifies nobody (@name), links to nothing and breaks no table.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from audit.reporting.headline import headline
from audit.reporting.report import CommandUse, Report, ToolUse
from audit.reporting.wording import counted, minute
from shim.printable import printable

__all__ = ["code", "plain", "report_as_markdown", "table"]

_BACKTICKS: Final = re.compile("`+")
_MARKUP: Final = re.compile(r"([\\`*_\[\]<>|#~@&])")
# A comment has a limit, on GitHub 65,536 characters.
_MOST_ROWS: Final = 100


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
    answer = headline(report)
    log = report.log
    period = f"{minute(log.first)} to {minute(log.last)} UTC" if log.records else "no time"
    lines = [f"## {plain(answer.text)}", "", *(f"* {plain(text)}" for text in answer.details)]
    lines += [f"* {counted(log.records, 'record')}, {period}", ""]
    lines += [plain(text.verdict) + "\n" for text in (report.switch, report.outlook) if text is not None]
    lines += table(("tool", "where", "state", "HMP", "QMP", "last HMP"), list(map(_tool, report.tools)), right=(3, 4))
    lines += _section("What replaces what", table(("command", "instead"), _instead(report)))
    lines += _section("HMP by tool", table(("tool", "command", "count", "last"), list(_uses(report.tools)), right=(2,)))
    failures = [
        (code(one.tool.name), code(", ".join(one.commands)), code(one.text), str(one.count), minute(one.last))
        for one in report.failures
    ]
    lines += _section("Failures", table(("tool", "command", "text", "count", "last"), failures, right=(3,)))
    silent = [(code(one.tool.name), code(one.command), str(one.count), minute(one.last)) for one in report.silent_failures]
    lines += _section("Went on after a failure", table(("tool", "command", "count", "last"), silent, right=(2,)))
    over = [(code(one.tool.name), code(one.vm.name), str(one.count), minute(one.last)) for one in report.overwritings]
    lines += _section("Snapshots saved over", table(("tool", "VM", "count", "last"), over, right=(2,)))
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"### {title}", "", *lines] if lines else []


def _tool(use: ToolUse) -> tuple[str, ...]:
    where = ", ".join(map(code, use.paths)) or "-"
    return code(use.tool.name), where, use.state.value, str(use.hmp_count), str(use.modern_count), minute(use.last_hmp)


def _uses(tools: Iterable[ToolUse]) -> Iterator[tuple[str, ...]]:
    for use in tools:
        for command in use.commands:
            if command.is_hmp:
                yield code(use.tool.name), code(command.name), str(command.count), minute(command.last)


def _instead(report: Report) -> list[tuple[str, ...]]:
    used: dict[str, CommandUse] = {one.name: one for use in report.tools for one in use.commands if one.is_hmp}
    return [(code(name), plain(str(one.replacement or "not known"))) for name, one in sorted(used.items())]

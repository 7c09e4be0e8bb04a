"""A report as text for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from audit.forms.board_table import board_lines
from audit.forms.outcomes import outcome_lines
from audit.forms.text_table import Column, folded, more, text_table, titled_table
from audit.forms.text_width import wrapped
from audit.reporting.headline import headline
from audit.reporting.log_facts import log_facts
from audit.reporting.report import CommandUse, Outlook, Report, State, Tool, ToolUse
from audit.reporting.switch import Contrast, Switch
from audit.reporting.wording import answer, counted, listed, minute, number, times, tool_labels
from shim.printable import printable

__all__ = ["as_table"]

# The width of a day and its counts: a terminal that is wider has room for a bar.
_LEAST_WIDTH: Final = 32
# From this width on, cells name more.
_MUCH_WIDTH: Final = 100
_BAR: Final = 30
_LEAST_BAR: Final = 5
_LISTED_DAYS: Final = 31
_LISTED: Final = 20
_LISTED_EXAMPLES: Final = 3
_LISTED_PATHS: Final = 3
# For what must have one, where nobody's terminal is.
_ANY_WIDTH: Final = 1_000_000


def as_table(report: Report, *, width: int | None, is_ascii: bool = False, has_all: bool = False) -> str:
    """Return the whole report with no line longer than `width`. None: there is no terminal, and lines may have any length.

    is_ascii: the terminal can show only ASCII. has_all: list everything, and fold nothing.
    """
    text = (
        "\n\n".join(
            "\n".join(section) for section in _Text(report, width, is_ascii=is_ascii, has_all=has_all).sections() if section
        )
        + "\n"
    )
    return text.translate(_ASCII) if is_ascii else text


_ASCII: Final = str.maketrans({"…": "~", "█": "#"})


class _Text:
    """One report at one width."""

    def __init__(self, report: Report, width: int | None, *, is_ascii: bool, has_all: bool) -> None:
        self._report = report
        self._width = None if width is None else max(width, _LEAST_WIDTH)
        self._is_ascii = is_ascii
        self._has_all = has_all
        self._labels = tool_labels(use.tool for use in report.tools)

    def sections(self) -> Iterator[list[str]]:
        """Yield the sections in order, each as a list of lines."""
        report = self._report
        if report.switch is not None:
            yield self._switch(report.switch)
        yield self._wrapped(_head(report))
        if report.outlook is not None:
            yield self._outlook(report.outlook)
        yield self._board()
        yield self._tools()
        yield self._commands()
        if report.log.records:
            yield from outcome_lines(report, self._name, width=self._width, has_all=self._has_all)
        yield self._standstills()
        yield self._trend()
        facts = log_facts(report.log)
        yield self._wrapped(["Of the logs", *(f"  {fact}" for fact in facts)] if facts else [])

    def _wrapped(self, lines: Sequence[str]) -> list[str]:
        return [part for line in lines for part in wrapped(printable(line), self._width)]

    def _name(self, tool: Tool) -> str:
        return self._labels.get(tool, tool.name)

    def _most(self, most: int) -> int | None:
        return None if self._has_all else most

    def _table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
        """Lay out a table, folded if it is long; [] if there are no rows."""
        shown, left = folded(rows, self._most(_LISTED))
        return [*text_table(columns, shown, self._width), *more(left)] if rows else []

    def _switch(self, switch: Switch) -> list[str]:
        contrasts, left = folded(switch.contrasts, self._most(_LISTED))
        lines = [switch.verdict, *([switch.note] if switch.note else [])]
        lines += [line for one in contrasts for line in self._contrast(one)]
        rows = [
            (one.vm.name, one.vm.host or "-", str(one.observed), str(one.same), str(one.differ), str(one.unknown))
            for one in switch.vms
        ]
        return [*self._wrapped(lines), *more(left), *self._table(_SWITCH, rows if len(rows) > 1 else [])]

    def _contrast(self, contrast: Contrast) -> Iterator[str]:
        yield f"  {contrast.agreement.value}, {times(contrast.count)}, last {minute(contrast.last)}: {contrast.why}"
        shown = contrast.examples[:_LISTED_EXAMPLES]
        for one in shown:
            yield f"      {minute(one.time)}  {one.vm.name}  {self._name(one.tool)}  {one.command_line}"
            yield f"          HMP: {answer(one.hmp)}; rewritten: {answer(one.rewritten)}"
        if contrast.count > len(shown):
            yield f"      … and {number(contrast.count - len(shown))} more"

    def _board(self) -> list[str]:
        def lay_out(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> list[str]:
            return self._table([Column(head, is_number=index in right) for index, head in enumerate(heads)], rows)

        return board_lines(self._report, lay_out, width=self._width or _ANY_WIDTH, is_ascii=self._is_ascii)

    def _outlook(self, outlook: Outlook) -> list[str]:
        rows = [
            (self._name(one.tool), one.command, str(one.count), one.fate.value, one.since or "-", one.instead or "-")
            for one in outlook.prospects
            if outlook.is_worth_a_table
        ]
        return [*self._wrapped([outlook.verdict, *outlook.notes]), *self._table(_OUTLOOK, rows)]

    def _tools(self) -> list[str]:
        tools = self._report.tools
        most = 2 if self._width is None or self._width >= _MUCH_WIDTH else 1
        rows = [
            (
                *(use.tool.name, use.tool.place or "-", use.tool.user or "-", use.seen_on or "-"),
                *(str(use.hmp_count), str(use.modern_count)),
                *(str(use.total(member)) for member in ("rewritten", "passed", "refused", "failed", "silent")),
                *(use.last_hmp[:10] or "-", _state(use, most)),
            )
            for use in tools
        ]
        return ["Tools", *self._table(_TOOLS, rows)] if rows else []

    def _commands(self) -> list[str]:
        rows = [
            (
                *(command.name, str(command.count), str(command.failed)),
                *(minute(command.first), minute(command.last), _replaced_by(command)),
            )
            for use in self._report.tools
            for command in use.commands
        ]
        titles = [self._title(use) for use in self._report.tools for _ in use.commands]
        shown, left = folded(rows, self._most(_LISTED))
        table = titled_table(_COMMANDS, shown, titles[: len(shown)], self._width)
        return ["Commands", *table, *more(left)] if rows else []

    def _title(self, use: ToolUse) -> str:
        paths = listed(use.paths, most=self._most(_LISTED_PATHS) or 0)
        return f"{self._name(use.tool)}: {paths}" if paths else self._name(use.tool)

    def _standstills(self) -> list[str]:
        rows = [
            (
                *(one.vm.name, one.vm.host or "-", one.command, str(one.count)),
                *(f"{duration_ms:.1f}" for duration_ms in (one.p50_ms, one.p95_ms, one.max_ms)),
            )
            for one in sorted(self._report.standstills, key=lambda one: -one.max_ms)
        ]
        heading = self._wrapped(["How long VMs stood still, the longest first"])
        return [*heading, *self._table(_STANDSTILLS, rows)] if rows else []

    def _trend(self) -> list[str]:
        hmp, modern = _by_day(self._report.days), _by_day(self._report.modern_days)
        days = sorted({*hmp, *modern})
        if not days:
            return []
        bar = _BAR if self._width is None else min(_BAR, self._width - _LEAST_WIDTH)
        most = max(max(hmp.values(), default=0), 1)
        lines = ["HMP commands a day"]
        shown = days if self._has_all else days[-_LISTED_DAYS:]
        if len(shown) < len(days):
            lines += self._wrapped([f"  (the last {len(shown)} of {len(days)} days; --all)"])
        for day in shown:
            blocks = "█" * (round(bar * hmp.get(day, 0) / most) or 1) if hmp.get(day, 0) and bar >= _LEAST_BAR else ""
            own = f"QMP {modern.get(day, 0)}" if modern else ""
            lines.append(f"  {day} {hmp.get(day, 0):>6} {blocks:<{bar}} {own}".rstrip())
        return lines


def _by_day(days: Mapping[str, Mapping[Tool, int]]) -> dict[str, int]:
    return {day: sum(tools.values()) for day, tools in days.items()}


def _head(report: Report) -> list[str]:
    log = report.log
    found = headline(report)
    names = listed(log.names, most=3)
    if not log.records:
        return [found.text, *found.details, f"no records, from {names}"]
    return [
        *(found.text, *found.details),
        f"{counted(log.records, 'record')}, {minute(log.first)} to {minute(log.last)} UTC, from {names}",
        f"HMP commands: {number(report.hmp_count)}   QMP's own snapshot commands: {number(report.modern_count)}",
    ]


_SWITCH: Final = (
    *(Column("VM"), Column("host", goes=1)),
    *(Column(head, is_number=True) for head in ("observed", "same", "differ", "not known")),
)
_OUTLOOK: Final = (
    *(Column("tool"), Column("command"), Column("count", is_number=True)),
    *(Column("there"), Column("since"), Column("instead")),
)
_TOOLS: Final = (
    *(Column("tool"), Column("runs in", goes=6), Column("user", goes=4), Column("host", goes=5)),
    *(Column("HMP", is_number=True), Column("QMP", is_number=True), Column("rewritten", is_number=True, goes=3)),
    *(Column("passed", is_number=True, goes=2), Column("refused", is_number=True, goes=1)),
    *(Column("failed", is_number=True), Column("silent", is_number=True), Column("last HMP", goes=7), Column("state")),
)
_COMMANDS: Final = (
    *(Column("command"), Column("count", is_number=True), Column("failed", is_number=True)),
    *(Column("first seen", goes=1), Column("last seen", goes=2), Column("what replaces it")),
)
_STANDSTILLS: Final = (
    *(Column("VM"), Column("host", goes=1), Column("command"), Column("count", is_number=True)),
    *(Column(head, is_number=True) for head in ("p50 ms", "p95 ms", "max ms")),
)


def _state(use: ToolUse, most: int) -> str:
    if use.state is not State.BLOCKED:
        return use.state.value
    return f"blocked by {listed([blocker.command for blocker in use.blockers], most=most)}"


def _replaced_by(command: CommandUse) -> str:
    if not command.is_hmp:
        return "it is modern"
    return "not known" if command.replacement is None else str(command.replacement)

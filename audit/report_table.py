"""A report as text for a terminal."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from audit.headline import headline
from audit.report import CommandUse, Failure, Outlook, Report, State, Tool, ToolUse
from audit.switch import Contrast, Switch
from audit.wording import answer, counted, listed, minute, times
from shim.printable import printable

__all__ = ["as_table"]

_GAP: Final = "  "
# A tool's name is shortened to the one where there is no room; no cell but the last of a line gets more than the other.
_LEAST_NAME: Final = 12
_MOST_NAME: Final = 48
_BAR: Final = 30
_LISTED_DAYS: Final = 31
_LISTED: Final = 20
_LISTED_EXAMPLES: Final = 3


def as_table(report: Report, *, width: int, is_ascii: bool = False) -> str:
    """Return the whole page, no line longer than `width` where names allow it. is_ascii: the terminal cannot show more."""
    sections = [_switch(report.switch, width), _wrapped(_head(report), width), _outlook(report.outlook, width)]
    sections += [_tools(report, width), _commands(report, width)]
    sections.append(_wrapped(_outcomes(report), width))
    sections += [_standstills(report, width), _trend(report, "#" if is_ascii else "█"), _log(report)]
    text = "\n\n".join("\n".join(section) for section in sections if section) + "\n"
    return text.replace("…", "~") if is_ascii else text


def _head(report: Report) -> list[str]:
    log = report.log
    period = f"{minute(log.first)} to {minute(log.last)} UTC" if log.records else "no time"
    answer = headline(report)
    lines = [printable(text) for text in (answer.text, *answer.details)]
    lines.append(f"{counted(log.records, 'record')}, {period}, from {printable(listed(log.names, most=3))}")
    lines.append(f"HMP commands: {report.hmp_count}   QMP's own snapshot commands: {report.modern_count}")
    return lines


def _switch(switch: Switch | None, width: int) -> list[str]:
    if switch is None:
        return []
    lines = [switch.verdict, *([switch.note] if switch.note else [])]
    lines += [line for one in switch.contrasts[:_LISTED] for line in _contrast(one)]
    if len(switch.contrasts) > _LISTED:
        lines.append(f"  … and {len(switch.contrasts) - _LISTED} more reasons (--json has all)")
    heads = ("VM", "host", "observed", "same", "differ", "not known")
    rows = [
        (one.vm.name, one.vm.host or "-", str(one.observed), str(one.same), str(one.differ), str(one.unknown))
        for one in switch.vms
    ]
    table = _aligned(heads, rows, right=range(2, 6), width=width) if len(rows) > 1 else []
    return [*_wrapped(lines, width), *table]


def _contrast(contrast: Contrast) -> Iterator[str]:
    yield printable(f"  {contrast.agreement.value}, {times(contrast.count)}, last {minute(contrast.last)}: {contrast.why}")
    shown = contrast.examples[:_LISTED_EXAMPLES]
    for one in shown:
        yield printable(f"      {minute(one.time)}  {one.vm.name}  {one.tool.name}  {one.command_line}")
        yield printable(f"          HMP: {answer(one.hmp)}; rewritten: {answer(one.rewritten)}")
    if contrast.count > len(shown):
        yield f"      … and {contrast.count - len(shown)} more"


def _outlook(outlook: Outlook | None, width: int) -> list[str]:
    if outlook is None:
        return []
    heads = ("tool", "command", "count", "there", "since", "instead")
    rows = [
        (one.tool.name, one.command, str(one.count), one.fate.value, one.since or "-", one.instead or "-")
        for one in outlook.prospects
        if outlook.is_worth_a_table
    ]
    lines = _wrapped([outlook.verdict, *outlook.notes], width)
    return [*lines, *_aligned(heads, rows, right=(2,), width=width)] if rows else lines


def _tools(report: Report, width: int) -> list[str]:
    if not report.tools:
        return []
    heads = ("tool", "uid", "host", "HMP", "QMP", "rewritten", "passed", "refused", "failed", "silent", "last HMP", "state")
    rows = [
        (
            *(use.tool.name, _uid(use.tool), use.tool.host or "-", str(use.hmp_count), str(use.modern_count)),
            *(str(use.total(member)) for member in ("rewritten", "passed", "refused", "failed", "silent")),
            *(use.last_hmp[:10] or "-", _state(use)),
        )
        for use in report.tools
    ]
    return ["Tools", *_aligned(heads, rows, right=range(3, 10), width=width)]


def _state(use: ToolUse) -> str:
    if use.state is not State.BLOCKED:
        return use.state.value
    return f"blocked by {listed([blocker.command for blocker in use.blockers], most=3)}"


def _commands(report: Report, width: int) -> list[str]:
    heads = ("tool", "command", "count", "failed", "first seen", "last seen", "what replaces it")
    rows = [
        (
            *(use.tool.name, command.name, str(command.count), str(command.failed)),
            *(minute(command.first), minute(command.last), _replaced_by(command)),
        )
        for use in report.tools
        for command in use.commands
    ]
    return ["Commands", *_aligned(heads, rows, right=(2, 3), width=width)] if rows else []


def _replaced_by(command: CommandUse) -> str:
    if not command.is_hmp:
        return "it is modern"
    return "not known" if command.replacement is None else str(command.replacement)


def _outcomes(report: Report) -> list[str]:
    if not report.log.records:
        return []
    lines = ["Outcomes"]
    lines += [line for failure in report.failures[:_LISTED] for line in _failure(failure)]
    if len(report.failures) > _LISTED:
        lines.append(f"  … and {len(report.failures) - _LISTED} more texts (--json has all)")
    if not report.failures:
        lines.append("  no command failed")
    for silent in report.silent_failures:
        went_on = f"went on {times(silent.count)} after a failed {silent.command}"
        lines.append(f"  silent: {silent.tool.name} {went_on}, with {listed(silent.next_commands, most=3)}")
    for one in report.overwritings:
        replaced = f"replaced a snapshot of {one.vm.name} {times(one.count)}"
        lines.append(f"  saved over: {one.tool.name} {replaced}, last {minute(one.last)}")
    if report.recovered:
        lines.append(f"  jobs found after a lost connection, and seen to their end: {report.recovered}")
    return [printable(line) for line in lines]


def _failure(failure: Failure) -> Iterator[str]:
    yield f"  {failure.count} x {failure.text}"
    yield f"      {listed(failure.commands, most=5)} of {listed([tool.name for tool in failure.tools], most=5)}"
    if failure.nodes:
        yield f"      nodes: {listed(failure.nodes, most=8)}"
    for reason in failure.reasons[:5]:
        yield f"      {reason}"


def _standstills(report: Report, width: int) -> list[str]:
    heads = ("VM", "host", "command", "count", "p50 ms", "p95 ms", "max ms")
    rows = [
        (
            *(one.vm.name, one.vm.host or "-", one.command, str(one.count)),
            *(f"{duration_ms:.1f}" for duration_ms in (one.p50_ms, one.p95_ms, one.max_ms)),
        )
        for one in report.standstills
    ]
    return ["How long VMs stood still", *_aligned(heads, rows, right=range(3, 7), width=width)] if rows else []


def _trend(report: Report, block: str) -> list[str]:
    days = sorted({*report.days, *report.modern_days})
    if not days:
        return []
    most = max(sum(report.days.get(day, {}).values()) for day in days)
    lines = ["HMP commands a day"]
    if len(days) > _LISTED_DAYS:
        lines.append(f"  (the last {_LISTED_DAYS} of {len(days)} days)")
    for day in days[-_LISTED_DAYS:]:
        count = sum(report.days.get(day, {}).values())
        bar = block * (round(_BAR * count / most) or 1) if count else ""
        lines.append(f"  {day} {count:>8} {bar:<{_BAR}} QMP {sum(report.modern_days.get(day, {}).values())}".rstrip())
    return lines


def _log(report: Report) -> list[str]:
    log = report.log
    facts = (
        (log.left_out, "records left out by the filters"),
        (log.damaged, "damaged lines left out (hmp-audit check tells where)"),
        (log.torn, "of them torn last lines"),
        (log.lost, "records that could not be written, as later ones tell"),
        (log.unfinished, "commands that were begun and have no outcome on record"),
    )
    lines = [f"  {what}: {count}" for count, what in facts if count]
    lines += [f"  {printable(text)}" for text in log.unreadable]
    return ["Of the logs", *lines] if lines else []


# --- Text -------------------------------------------------------------------------------------------------------------


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int], width: int) -> list[str]:
    """Lay out a table. right: columns of numbers. Where it is too wide, columns that tell nothing go, then names are cut."""
    table = [tuple(heads), *(tuple(map(printable, row)) for row in rows)]
    last = len(heads) - 1
    widths = [max(len(row[column]) for row in table) for column in range(len(heads))]
    widths[:last] = [min(_MOST_NAME, room) for room in widths[:last]]
    shown = list(range(len(heads)))
    if _total(widths) > width:
        shown = [column for column in shown if column in (0, last) or {row[column] for row in table[1:]} - {"0", "-"}]
        widths[0] = max(min(_LEAST_NAME, widths[0]), widths[0] - max(0, _total([widths[column] for column in shown]) - width))
    lines = []
    for row in table:
        cells = [f"{_tail(row[column], widths[column]):{'>' if column in right else '<'}{widths[column]}}" for column in shown]
        lines.append(f"{_GAP}{_GAP.join(cells)}".rstrip())
    return lines


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * len(widths)


def _wrapped(lines: Sequence[str], width: int) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, max(width, 40), subsequent_indent=" " * _hanging(line))]


def _hanging(line: str) -> int:
    return max(8, len(line) - len(line.lstrip(" ")) + 4)


def _tail(text: str, room: int) -> str:
    """Shorten a path at its begin, where it tells least."""
    return text if len(text) <= room else f"…{text[len(text) - room + 1 :]}"


def _uid(tool: Tool) -> str:
    return "-" if tool.uid < 0 else str(tool.uid)

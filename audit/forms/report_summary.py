"""A report in one screen: the answer, what to do first, and what failed."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from audit.forms.text_width import cut, wrapped
from audit.reporting.board import board
from audit.reporting.headline import headline
from audit.reporting.next_changes import Change
from audit.reporting.report import Failure, Report
from audit.reporting.wording import counted, listed, minute, number, times, tool_labels
from shim.printable import printable

__all__ = ["SCREEN_COLUMNS", "as_summary"]

# The size of every terminal, with one line left for the next prompt.
SCREEN_COLUMNS: Final = 80
_SCREEN_LINES: Final = 23
_ANSWER_LINES: Final = 8
_ITEM_LINES: Final = 2


def as_summary(report: Report, *, width: int, is_ascii: bool = False) -> str:
    """Return at most 23 lines, none longer than `width`. is_ascii: the terminal can show only ASCII."""
    answer = _answer_lines(report, width)
    notes = [cut(text, width) for text in _notes(report)]
    steps = [_item(_step(change), width) for change in board(report).changes]
    labels = tool_labels(use.tool for use in report.tools)
    failures = [_item(_failure(one, labels.get(one.tool, one.tool.name)), width) for one in report.failures]
    # Each list has a blank line and a heading before it, and the notes a blank line.
    room = _SCREEN_LINES - len(answer) - len(notes) - bool(notes) - 2 * bool(steps) - 2 * bool(failures)
    steps_room = max(room // 2, room - sum(map(len, failures)))
    step_lines = _fitting(steps, steps_room)
    failure_lines = _fitting(failures, room - len(step_lines))
    sections = (
        answer,
        ["What to do first", *step_lines] if steps else [],
        ["What failed, the newest first", *failure_lines] if failures else [],
        notes,
    )
    text = "\n\n".join("\n".join(section) for section in sections if section) + "\n"
    return text.replace("…", "~") if is_ascii else text


def _answer_lines(report: Report, width: int) -> list[str]:
    """Return as many whole sentences as there is room for."""
    lines: list[str] = []
    for text in _answer(report):
        told = wrapped(printable(text), width)
        if not lines or len(lines) + len(told) <= _ANSWER_LINES:
            lines += told[:_ANSWER_LINES]
    return lines


def _answer(report: Report) -> Iterator[str]:
    """Yield the answer in sentences, the most important first."""
    found = headline(report)
    yield found.text
    if report.switch is not None:
        yield report.switch.verdict
    if report.outlook is not None:
        yield report.outlook.verdict
    yield from found.details
    if report.log.records:
        counts = f"{counted(report.hmp_count, 'HMP command')} and {number(report.modern_count)} of QMP's own"
        yield f"{counts}, {minute(report.log.first)} to {minute(report.log.last)} UTC."


def _step(change: Change) -> str:
    paths = f" ({listed(change.paths, most=2)})" if change.paths else ""
    return f"{change.command} in {change.name}{paths}: {change.instead}; {change.effect}"


def _failure(failure: Failure, name: str) -> str:
    what = f"{name}, {listed(failure.commands, most=1)}, {times(failure.count)}"
    return f"{minute(failure.last)} {what}: {failure.text}"


def _notes(report: Report) -> Iterator[str]:
    if report.silent_failures:
        count = sum(one.count for one in report.silent_failures)
        yield f"After {counted(count, 'failure')} a tool went on as if nothing had failed."
    if report.overwritings:
        yield f"{counted(sum(one.count for one in report.overwritings), 'snapshot')} saved over, and gone."


def _item(text: str, width: int) -> list[str]:
    """Return the lines of a list item, two at most."""
    lines = wrapped(f"  {printable(text)}", width)
    rest = " ".join(line.strip(" ") for line in lines[_ITEM_LINES - 1 :])
    return lines if len(lines) <= _ITEM_LINES else [*lines[: _ITEM_LINES - 1], cut(f"    {rest}", width)]


def _fitting(items: Sequence[Sequence[str]], room: int) -> list[str]:
    """Return the lines of all items, or of those that fit and one that says how many more there are."""
    ends = list(accumulate(map(len, items)))
    shown = len(items) if not ends or ends[-1] <= room else sum(end < room for end in ends)
    lines = [line for item in items[:shown] for line in item]
    return lines if shown == len(items) else [*lines, f"  … and {number(len(items) - shown)} more"]

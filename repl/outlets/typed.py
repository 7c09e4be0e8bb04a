"""A line as typed at the prompt: what it asks for, how often, and where the output goes."""

import re
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from repl.completion_data import CompletionData
from repl.lines.lines import Line, PlanLine, QMPLine, own_name, read_line
from repl.lines.scanning import BLANKS, LineError, expect_end, skip_blanks, word_end
from repl.outlets.redirection import Outlet, split_outlet
from shim.hmp.line import HMPLine

__all__ = ["PagerLine", "TimingLine", "Typed", "is_repeatable", "is_repeatable_in_qmp", "read_typed", "watched_from"]

# As in watch(1), which uses 0.1 s for any shorter interval.
_DEFAULT_INTERVAL_S: Final = 2.0
_SHORTEST_S: Final = 0.1
_LONGEST_S: Final = 86_400.0
_INTERVAL: Final = re.compile(rf"(?:-n[{BLANKS}]*)?(\d+(?:\.\d*)?|\.\d+)(?=[{BLANKS}]|$)")
# Commands that are safe to repeat. `i` is not among them: a device may notice that its port is read.
_LOOKING: Final = frozenset({"info", "print", "p", "x", "xp", "sum", "gva2gpa", "gpa2hva", "gpa2hpa", "qom-list", "qom-get"})
_LOOKING_IN_QMP: Final = re.compile(r"(x-)?query-.*|x-debug-query-.*|qom-(list|get).*|xen-event-list")


@dataclass(frozen=True, slots=True)
class TimingLine:
    """`timing on` or `timing off`; None to switch over."""

    on: bool | None


@dataclass(frozen=True, slots=True)
class PagerLine:
    """`pager`, with `on`, `off` or a shell command; "" only asks."""

    argument: str


_Asked: TypeAlias = Line | TimingLine | PagerLine


@dataclass(frozen=True, slots=True)
class Typed:
    """A typed line. every_s: the interval of a repeated command, None for once. outlet: None for the screen or the pager."""

    asked: _Asked
    outlet: Outlet | None = None
    every_s: float | None = None


def read_typed(line: str, facts: CompletionData) -> Typed:
    """Read what a person typed. Raises LineError, as repl.lines.lines.read_line does."""
    rest = skip_blanks(line, word_end(line, skip_blanks(line, 0)))
    match own_name(line):
        case "watch":
            return _read_watch(line, facts)
        case "timing":
            return Typed(_read_timing(line, rest))
        case "pager":
            return Typed(PagerLine(line[rest:].rstrip(BLANKS)))
    command, outlet = split_outlet(line)
    return Typed(read_line(command, facts), outlet)


def _read_timing(line: str, at: int) -> TimingLine:
    switch = line[at : word_end(line, at)]
    if switch not in ("", "on", "off"):
        raise LineError(at, "timing is on or off")
    expect_end(line, at + len(switch))
    return TimingLine(switch == "on" if switch else None)


def _read_watch(line: str, facts: CompletionData) -> Typed:
    at, every_s = watched_from(line)
    if at == len(line):
        raise LineError(at, "watch needs a command: watch 2 info status")
    try:
        one = read_typed(line[at:], facts)
    except LineError as exc:
        raise exc.moved(at) from exc
    if not _only_looks(one.asked) or one.every_s is not None:
        raise LineError(at, "watch repeats only what shows the VM's state: info, print, x, plan, qmp query-* and the like")
    return replace(one, every_s=every_s)


def watched_from(line: str) -> tuple[int, float]:
    """Return where the command of a `watch` begins, and its interval in seconds. Raises LineError."""
    start = skip_blanks(line, 0)
    at = skip_blanks(line, word_end(line, start))
    found = _INTERVAL.match(line, at)
    if found is None:
        return at, _DEFAULT_INTERVAL_S
    every_s = float(found[1])
    if not _SHORTEST_S <= every_s <= _LONGEST_S:
        raise LineError(found.start(1), f"watch takes from {_SHORTEST_S:g} to {_LONGEST_S:g} seconds")
    return skip_blanks(line, found.end()), every_s


def is_repeatable(name: str) -> bool:
    """Return whether `watch` takes this HMP command."""
    return name in _LOOKING


def is_repeatable_in_qmp(name: str) -> bool:
    """Return whether `watch` takes this QMP command."""
    return _LOOKING_IN_QMP.fullmatch(name) is not None


def _only_looks(asked: _Asked) -> bool:
    match asked:
        case HMPLine(name=name):
            return is_repeatable(name)
        case QMPLine(name):
            return is_repeatable_in_qmp(name)
    return isinstance(asked, PlanLine)

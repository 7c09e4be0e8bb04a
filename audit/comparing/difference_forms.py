"""Two reports compared: for a terminal, as Markdown, and as JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from audit.comparing.difference import Change, Difference, Kind, Usage
from audit.forms.markdown import code, plain, table
from audit.forms.text_table import Column, text_table
from audit.forms.text_width import wrapped
from audit.reporting.wording import counted, number
from shim.printable import printable

__all__ = ["DIFFERENCE_VERSION", "difference_as_json", "difference_as_markdown", "difference_as_text"]

DIFFERENCE_VERSION: Final = 1
_HEADS: Final = ("", "tool", "command", "before", "now", "instead")
_COLUMNS: Final = (
    *(Column(""), Column("tool"), Column("command")),
    *(Column("before", is_number=True), Column("now", is_number=True), Column("instead", goes=1)),
)
_TOLD: Final = (Kind.NEW, Kind.MORE, Kind.LESS, Kind.GONE)
_LEAST_WIDTH: Final = 40


def difference_as_json(difference: Difference) -> str:
    """Return one indented JSON object. It includes changes of kind "same"."""
    members = {
        "difference": DIFFERENCE_VERSION,
        "old": _period(difference.old),
        "new": _period(difference.new),
        "changes": [asdict(change) for change in difference.changes],
        "states": [asdict(state) for state in difference.states],
        "failures": [{"text": text, "count": count} for text, count in difference.failures],
    }
    return json.dumps(members, indent=2)


def _period(usage: Usage) -> dict[str, object]:
    hmp = sum(usage.counts.values())
    period = {"name": usage.name, "first": usage.first, "last": usage.last, "days": usage.days}
    return period | {"hmp_count": hmp, "hmp_a_week": usage.a_week(hmp), "modern_count": usage.modern}


def difference_as_text(difference: Difference, *, width: int) -> str:
    """Return the difference as text for a terminal."""
    changes = [change for change in difference.changes if change.kind in _TOLD]
    width = max(width, _LEAST_WIDTH)
    lines = [part for line in _sentences(difference) for part in wrapped(printable(line), width, hanging=4)]
    if changes:
        lines += ["", *text_table(_COLUMNS, [_row(change) for change in changes], width)]
    states = [(one.tool, one.old or "not there", one.new or "not there") for one in difference.states]
    if states:
        lines += ["", *text_table([Column("tool"), Column("was"), Column("is")], states, width)]
    if difference.failures:
        failures = (f"  {printable(text)} ({number(count)})" for text, count in difference.failures)
        lines += ["", "New failures:", *(part for line in failures for part in wrapped(line, width, hanging=4))]
    return "\n".join(lines) + "\n"


def difference_as_markdown(difference: Difference) -> str:
    """Return the difference as Markdown, for a comment on a change or a wiki page."""
    first, *rest = _sentences(difference)
    lines = [f"## {plain(first)}", "", *(f"* {plain(line)}" for line in rest), ""]
    rows = [
        (kind, code(tool), code(command), before, now, plain(instead))
        for change in difference.changes
        if change.kind in _TOLD
        for kind, tool, command, before, now, instead in (_row(change),)
    ]
    lines += table(("what", *_HEADS[1:]), rows, right=(3, 4))
    lines += table(("tool", "was", "is"), [(code(one.tool), one.old or "-", one.new or "-") for one in difference.states])
    lines += table(("new failure", "count"), [(code(text), str(count)) for text, count in difference.failures], right=(1,))
    return "\n".join(lines).rstrip() + "\n"


def _sentences(difference: Difference) -> Iterator[str]:
    old, new = difference.old, difference.new
    before, now = (usage.a_week(sum(usage.counts.values())) for usage in (old, new))
    yield f"HMP commands a week: {_rate(before)} before, {_rate(now)} now{_percent(before, now)}"
    yield "; ".join(f"{counted(len(difference.of(kind)), 'use')} {kind.value}" for kind in (*_TOLD, Kind.SAME))
    for title, usage in (("before", old), ("now", new)):
        period = f"{usage.first[:10]} to {usage.last[:10]}, {counted(usage.days, 'day')}" if usage.days else "no records"
        yield f"{title}: {usage.name} ({period})"


def _row(change: Change) -> tuple[str, ...]:
    return change.kind.value, change.tool, change.command, _rate(change.old_week), _rate(change.new_week), change.instead


def _rate(a_week: float) -> str:
    return f"{a_week:,.0f}" if a_week >= 10 or not a_week else f"{a_week:.1f}"


def _percent(before: float, now: float) -> str:
    return f" ({(now - before) / before:+.0%})" if before else ""

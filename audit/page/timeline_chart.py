"""The timeline of saves and loads: a row for each VM, and for each save or load a mark whose height shows the VM's pause."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from unicodedata import east_asian_width

from audit.page.elements import Child, Element, make, svg
from audit.page.time_axis import label_moments, time_ticks
from audit.reporting.report import VM, Report, TimelineEntry
from audit.reporting.wording import MOST_MS, counted, milliseconds, number, parse_moment, within

__all__ = ["MAX_ROWS", "timeline_chart"]

MAX_ROWS: Final = 20
_WIDTH: Final = 1080
_LEFT: Final = 168
_RIGHT: Final = 1056
_TOP: Final = 6
_ROW: Final = 52
_AXIS: Final = 44
_NAME_CELLS: Final = 22
# How far a mark's foot is above the line of its row, and the least and greatest height of its stem.
_FOOT: Final = 3
_MIN_STEM: Final = 3
_MAX_STEM: Final = 34
_LOADS: Final = frozenset({"loadvm", "snapshot-load"})
_SHORTEST_SPAN: Final = timedelta(minutes=10)
_CALENDAR: Final = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
# Longer pauses count as 11 days, so that a record with an absurd one does not flatten all other marks.
_HIGHEST_MS: Final = 1e9


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where a moment is on the picture, and how high a pause is."""

    first: datetime
    last: datetime
    most_ms: float

    def x(self, moment: datetime) -> float:
        return _LEFT + (_RIGHT - _LEFT) * ((moment - self.first) / (self.last - self.first))

    def stem(self, pause_ms: float) -> float:
        """Return the height of a pause. It is logarithmic, so that both milliseconds and minutes are visible."""
        share = math.log1p(within(pause_ms, self.most_ms)) / math.log1p(self.most_ms)
        return _MIN_STEM + (_MAX_STEM - _MIN_STEM) * share


@dataclass(frozen=True, slots=True)
class _Placed:
    moment: datetime
    entry: TimelineEntry


def timeline_chart(report: Report) -> list[Child]:
    """Return the timeline with its legend and notes, or a sentence if nothing was saved or loaded."""
    moments = [(parse_moment(entry.time), entry) for entry in report.timeline]
    placed = [_Placed(moment, entry) for moment, entry in moments if moment is not None]
    if not placed:
        return [make("p", "No snapshot was saved or loaded.", class_="empty")]
    vms = Counter(one.entry.vm for one in placed)
    rows = {vm: row for row, vm in enumerate(sorted(vms, key=lambda vm: (-vms[vm], vm))[:MAX_ROWS])}
    scale = _scale(placed)
    height = _TOP + _ROW * len(rows) + _AXIS
    bottom = _TOP + _ROW * len(rows)
    has_hosts = len({vm.host for vm in rows}) > 1
    picture = svg(
        *_time_axis(scale, bottom),
        *(_row(vm, row, has_hosts=has_hosts) for vm, row in rows.items()),
        *(_mark(one, rows[one.entry.vm], scale) for one in placed if one.entry.vm in rows),
        width=_WIDTH,
        height=height,
        label=_told(placed, vms),
        class_="chart",
    )
    box = make("div", picture, class_="scroll chart-box", role="region", aria_label="Saves and loads", tabindex="0")
    intro = make("p", "When each VM was saved and loaded, and how long it stood still.", class_="intro")
    return [intro, _legend(scale), box, *_notes(report, placed, vms)]


def _told(placed: Sequence[_Placed], vms: Counter[VM]) -> str:
    """Return what the picture shows, in words, for those who cannot see it."""
    failed = sum(one.entry.failed for one in placed)
    longest = max((one.entry for one in placed), key=lambda entry: within(entry.stopped_ms, MOST_MS))
    return (
        f"Saves and loads by VM and time: {number(len(placed))} of {counted(len(vms), 'VM')}, {number(failed)} failed; "
        f"longest pause {milliseconds(longest.stopped_ms)}, of {longest.vm.name} on {longest.time[:10]}"
    )


def _scale(placed: Sequence[_Placed]) -> _Scale:
    first, last = min(one.moment for one in placed), max(one.moment for one in placed)
    if last - first < _SHORTEST_SPAN:
        # A single moment is in the middle, unless it is at an end of Python's calendar.
        first = min(max(first, _CALENDAR[0] + _SHORTEST_SPAN / 2) - _SHORTEST_SPAN / 2, _CALENDAR[1] - _SHORTEST_SPAN)
        last = first + _SHORTEST_SPAN
    longest = max(within(one.entry.stopped_ms, _HIGHEST_MS) for one in placed)
    return _Scale(first, last, 10.0 ** max(2, math.ceil(math.log10(max(longest, 1)))))


def _time_axis(scale: _Scale, bottom: float) -> Iterator[Element]:
    ticks = time_ticks(scale.first, scale.last)
    yield make("line", x1=_LEFT, x2=_RIGHT, y1=bottom, y2=bottom, class_="axis")
    for tick, label in zip(ticks, label_moments(ticks), strict=True):
        x = scale.x(tick)
        yield make("line", x1=x, x2=x, y1=_TOP, y2=bottom + 5, class_="grid")
        yield make("text", label.text, x=x, y=bottom + 20, text_anchor="middle", class_="tick")
        if label.under:
            yield make("text", label.under, x=x, y=bottom + 35, text_anchor="middle", class_="tick under")


def _row(vm: VM, row: int, *, has_hosts: bool) -> Element:
    """Return a row with its name at the left. The name is cut to its room twice: by characters, and by clipping."""
    base = _TOP + _ROW * (row + 1)
    said = f"{vm.name} on {vm.host}" if vm.host else vm.name
    label = make(
        "svg",
        make("title", said),
        make("text", _cut(vm.name), x=0, y=_ROW - (24 if has_hosts else 14), class_="row-name"),
        make("text", _cut(vm.host), x=0, y=_ROW - 9, class_="tick") if has_hosts else None,
        x=0,
        y=base - _ROW,
        width=_LEFT - 12,
        height=_ROW,
        overflow="hidden",
    )
    return make("g", label, make("line", x1=0, x2=_RIGHT, y1=base, y2=base, class_="grid"))


def _cut(name: str) -> str:
    """Cut a name to its room; a wide character takes two cells."""
    room = _NAME_CELLS
    for place, char in enumerate(name):
        room -= 2 if east_asian_width(char) in "WF" else 1
        if room < 0:
            return f"{name[:place]}…"
    return name


def _mark(one: _Placed, row: int, scale: _Scale) -> Element:
    entry = one.entry
    is_load = entry.command in _LOADS
    x, foot = scale.x(one.moment), _TOP + _ROW * (row + 1) - _FOOT
    top = foot - scale.stem(entry.stopped_ms)
    hit = make("rect", x=x - 6, y=top - 7, width=12, height=foot - top + 10, class_="hit")
    shape = _shape(x, top, foot, is_load=is_load, is_failed=entry.failed)
    look = f"mark {'load' if is_load else 'save'}{' failed' if entry.failed else ''}"
    return make("g", make("title", _story(entry)), hit, *shape, class_=look)


def _shape(x: float, top: float, foot: float, *, is_load: bool, is_failed: bool) -> Iterator[Element]:
    """Yield a stem with a head: round for a save, a triangle for a load, crossed if it failed."""
    yield make("line", x1=x, x2=x, y1=top, y2=foot, class_="stem")
    if is_load:
        yield make("path", d=f"M{x - 4.5:.1f} {top - 4:.1f}h9l-4.5 8z", class_="head")
    else:
        yield make("circle", cx=x, cy=top, r=4, class_="head")
    if is_failed:
        yield make("path", d=f"M{x - 4:.1f} {top - 4:.1f}l8 8m0 -8l-8 8", class_="cross")


def _story(entry: TimelineEntry) -> str:
    lines = (
        f"{entry.time[:19].replace('T', ' ')} UTC",
        f"{entry.command} {entry.tag}".rstrip() + (", failed" if entry.failed else ""),
        f"VM: {entry.vm.name}" + (f" on {entry.vm.host}" if entry.vm.host else ""),
        f"tool: {entry.tool.name}",
        f"pause: {milliseconds(entry.stopped_ms)}, of {milliseconds(entry.duration_ms)} in all",
    )
    return " · ".join(lines)


def _legend(scale: _Scale) -> Element:
    save, load, failed = (
        make("g", *_shape(7, 5, 14, is_load=look == "mark load", is_failed="failed" in look), class_=look)
        for look in ("mark save", "mark load", "mark save failed")
    )
    keys = (_key(save, "save"), _key(load, "load"), _key(failed, "failed: hollow and crossed"))
    return make("ul", *keys, _heights(scale), class_="legend")


def _key(mark: Element, name: str) -> Element:
    return make("li", make("svg", mark, viewBox="0 0 14 14", class_="swatch", aria_hidden="true"), make("span", name))


def _heights(scale: _Scale) -> Element:
    """Return samples of the height: for the greatest pause on the scale, and for some that are ten times shorter each."""
    decades = range(max(1, round(math.log10(scale.most_ms)) - 3), round(math.log10(scale.most_ms)) + 1)
    samples = []
    for decade in decades:
        stem = scale.stem(10.0**decade)
        line = make("line", x1=2, x2=2, y1=40 - stem, y2=40, class_="stem")
        picture = make("svg", line, viewBox="0 0 4 40", class_="sample", aria_hidden="true")
        samples.append(make("span", picture, _power_of_ten(decade), class_="height"))
    return make("li", make("span", "height: how long the VM stood still"), *samples, class_="heights")


def _power_of_ten(decade: int) -> str:
    return f"{10**decade} ms" if decade < 3 else f"{number(10 ** (decade - 3))} s"


def _notes(report: Report, placed: Sequence[_Placed], vms: Counter[VM]) -> Iterator[Element]:
    if report.timeline_total > len(report.timeline):
        shown, total = number(len(report.timeline)), number(report.timeline_total)
        yield make("p", f"The latest {shown} of {total} saves and loads.", class_="note")
    if len(vms) > MAX_ROWS:
        rest = sum(count for _, count in vms.most_common()[MAX_ROWS:])
        others = f"{counted(len(vms) - MAX_ROWS, 'other VM')} had {_saves_and_loads(rest)}"
        yield make("p", f"The {MAX_ROWS} VMs with the most; {others}.", class_="note")
    if len(placed) < len(report.timeline):
        missing = _saves_and_loads(len(report.timeline) - len(placed))
        yield make("p", f"Not shown: {missing} at a time that no calendar has.", class_="note")


def _saves_and_loads(count: int) -> str:
    return counted(count, "save or load", "saves and loads")

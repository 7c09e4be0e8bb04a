"""The chart of HMP's use: a bar for each day or longer span, stacked by tool, with QMP's own snapshot commands as a line."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from audit.page.elements import Child, Element, make, svg, words
from audit.page.tables import Column as ListingColumn
from audit.page.tables import amount, table, text
from audit.page.time_axis import label_moments, round_ticks
from audit.reporting.day_columns import Column, Columns, Span, day_columns
from audit.reporting.report import Report, Tool
from audit.reporting.wording import counted, number, tool_labels

__all__ = ["MAX_SERIES", "bar_chart"]

# People cannot distinguish more colours than these; the other tools are one series.
MAX_SERIES: Final = 7
_OTHERS: Final = "other tools"
_WIDTH: Final = 1080
_HEIGHT: Final = 300
_LEFT: Final = 52
_RIGHT: Final = 1064
_TOP: Final = 16
_BOTTOM: Final = 256
_GAP: Final = 2
_MAX_BAR: Final = 36
_DATE_LABELS: Final = 12


@dataclass(frozen=True, slots=True)
class _Series:
    """The colour and name of one tool, or of all the others together. look: a class of style.css."""

    look: str
    name: str
    tools: frozenset[Tool]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where a column and a count are on the picture. most: the count at the top."""

    columns: int
    most: int

    @property
    def pitch(self) -> float:
        return (_RIGHT - _LEFT) / self.columns

    @property
    def bar(self) -> float:
        return max(1.0, min(_MAX_BAR, self.pitch * 0.7))

    def x(self, index: int) -> float:
        """Return the x coordinate of a column's middle."""
        return _LEFT + (index + 0.5) * self.pitch

    def y(self, count: int) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * count / self.most


def bar_chart(report: Report) -> list[Child]:
    """Return the chart with its legend and notes, or a sentence if nothing was used on any day."""
    columns = day_columns(report)
    if not any(column.modern or column.hmp for column in columns.used):
        return [make("p", "No day has a command to show.", class_="empty"), *_notes(columns)]
    series = _series(columns)
    has_modern = any(column.modern for column in columns.used)
    highest = max(max(sum(column.hmp.values()), column.modern) for column in columns.used)
    ticks = round_ticks(highest)
    scale = _Scale(columns.count, ticks[-1])
    label = _told(columns)
    picture = svg(
        *_y_axis(ticks, scale),
        *_x_axis(columns, scale),
        *(_bar(column, columns.span, series, scale) for column in columns.used),
        *(_modern(columns, scale) if has_modern else ()),
        width=_WIDTH,
        height=_HEIGHT,
        label=label,
        class_="chart",
    )
    heading = f"HMP commands by {columns.span.value} and tool"
    box = make("div", picture, class_="scroll chart-box", role="region", aria_label=heading, tabindex="0")
    intro = make("p", f"{heading}.", class_="intro")
    return [intro, _legend(series, has_modern=has_modern), box, _numbers(columns), *_notes(columns)]


def _told(columns: Columns) -> str:
    """Return what the picture shows, in words, for those who cannot see it."""
    counts = {column.index: sum(column.hmp.values()) for column in columns.used}
    modern = sum(column.modern for column in columns.used)
    first, last = (_when(column, columns.span) for column in (columns.used[0], columns.used[-1]))
    total = f"{counted(sum(counts.values()), 'HMP command')} and {number(modern)} of QMP's own, {first} to {last}"
    most = max(columns.used, key=lambda column: counts[column.index])
    peak = f"most in {_when(most, columns.span)}, {number(counts[most.index])}"
    return f"HMP commands by {columns.span.value} and tool: {total}; {peak}"


def _numbers(columns: Columns) -> Element:
    """Return the picture's numbers as a table."""
    span = columns.span.value
    heads = (
        ListingColumn(span.capitalize()),
        *(ListingColumn(head, is_number=True) for head in ("HMP", "QMP's own", "Failed")),
    )
    rows = [
        [text(_when(column, columns.span)), *map(amount, (sum(column.hmp.values()), column.modern, column.failed))]
        for column in reversed(columns.used)
    ]
    return make("details", make("summary", "The same in numbers"), table(f"Commands by {span}", heads, rows), class_="more")


def _series(columns: Columns) -> list[_Series]:
    """Return a series for each of the tools with the most commands, and one for the rest."""
    totals: Counter[Tool] = Counter()
    for column in columns.used:
        totals.update(column.hmp)
    ranked = sorted((tool for tool in totals if totals[tool]), key=lambda tool: (-totals[tool], tool))
    labels = tool_labels(ranked)
    shown = [
        _Series(f"series-{place}", labels[tool], frozenset({tool})) for place, tool in enumerate(ranked[:MAX_SERIES], start=1)
    ]
    rest = ranked[MAX_SERIES:]
    return [*shown, _Series("series-other", f"{_OTHERS} ({number(len(rest))})", frozenset(rest))] if rest else shown


def _bar(column: Column, span: Span, series: Sequence[_Series], scale: _Scale) -> Element:
    total = sum(column.hmp.values())
    when = f"{'week of ' if span is Span.WEEK else ''}{_when(column, span)}"
    failed = f", {number(column.failed)} failed" if column.failed else ""
    summary = f"{when}: {counted(total, 'HMP command')}, {number(column.modern)} of QMP's own{failed}"
    left = scale.x(column.index) - scale.pitch / 2
    room = make("rect", x=left, y=_TOP, width=scale.pitch, height=_BOTTOM - _TOP, class_="hit")
    return make("g", make("title", summary), room, *_segments(column, when, series, scale), class_="column")


def _segments(column: Column, when: str, series: Sequence[_Series], scale: _Scale) -> Iterator[Element]:
    """Yield the stacked counts of the tools. A segment's gap is part of its own height, so that the sum fits the axis."""
    below = 0
    for one in series:
        count = sum(column.hmp.get(tool, 0) for tool in one.tools)
        if not count:
            continue
        top, bottom = scale.y(below + count), scale.y(below)
        height = max(1.0, bottom - top - (_GAP if below else 0))
        yield make(
            "rect",
            make("title", f"{when}, {one.name}: {counted(count, 'HMP command')} of {number(sum(column.hmp.values()))}"),
            x=scale.x(column.index) - scale.bar / 2,
            y=top,
            width=scale.bar,
            height=height,
            class_=f"bar {one.look}",
            data_count=count,
        )
        below += count


def _modern(columns: Columns, scale: _Scale) -> Iterator[Element]:
    """Yield QMP's own commands: a line across all columns, with a mark at each that has some."""
    counts = {column.index: column.modern for column in columns.used}
    points = " ".join(f"{scale.x(index):.1f},{scale.y(counts.get(index, 0)):.1f}" for index in range(columns.count))
    yield make("polyline", points=points, class_="modern-halo")
    yield make("polyline", points=points, class_="modern-line")
    for column in columns.used:
        if column.modern:
            said = f"{_when(column, columns.span)}: {counted(column.modern, 'snapshot command')} of QMP's own"
            x, y = scale.x(column.index), scale.y(column.modern)
            yield make("circle", make("title", said), cx=x, cy=y, r=3.5, class_="modern-mark", data_count=column.modern)


def _y_axis(ticks: Sequence[int], scale: _Scale) -> Iterator[Element]:
    for tick in ticks:
        y = scale.y(tick)
        yield make("line", x1=_LEFT, x2=_RIGHT, y1=y, y2=y, class_="grid" if tick else "axis")
        yield make("text", number(tick), x=_LEFT - 8, y=y + 4, text_anchor="end", class_="tick")


def _x_axis(columns: Columns, scale: _Scale) -> Iterator[Element]:
    """Yield labels for as many columns as there is room for, including the first."""
    least = columns.count / _DATE_LABELS
    step = next((step for step in (1, 2, 7, 14, 28, 100, 500) if step >= least), 2000)
    indexes = range(0, columns.count, step)
    for index, label in zip(indexes, label_moments([columns.begins[index] for index in indexes]), strict=True):
        x = scale.x(index)
        yield make("line", x1=x, x2=x, y1=_BOTTOM, y2=_BOTTOM + 5, class_="axis")
        yield make("text", label.text, x=x, y=_BOTTOM + 20, text_anchor="middle", class_="tick")
        if label.under:
            yield make("text", label.under, x=x, y=_BOTTOM + 35, text_anchor="middle", class_="tick under")


def _when(column: Column, span: Span) -> str:
    spelled = f"{column.begin.year:04}-{column.begin.month:02}-{column.begin.day:02}"
    return spelled[: {Span.MONTH: 7, Span.YEAR: 4}.get(span, 10)]


def _legend(series: Sequence[_Series], *, has_modern: bool) -> Element:
    items = [_key(make("rect", x=1, y=1, width=12, height=12, class_=f"bar {one.look}"), one.name) for one in series]
    if has_modern:
        line = make("line", x1=0, x2=14, y1=7, y2=7, class_="modern-line")
        mark = make("g", line, make("circle", cx=7, cy=7, r=3.5, class_="modern-mark"))
        items.append(_key(mark, "QMP's own snapshot commands"))
    return make("ul", *items, class_="legend")


def _key(mark: Element, name: str) -> Element:
    swatch = make("svg", mark, viewBox="0 0 14 14", class_="swatch", aria_hidden="true")
    return make("li", swatch, make("span", *words(name), class_="name"))


def _notes(columns: Columns) -> Iterator[Element]:
    if columns.span is not Span.DAY:
        weeks = " A week begins on Monday." if columns.span is Span.WEEK else ""
        yield make("p", f"There are too many days for a bar each, so each bar is a {columns.span.value}.{weeks}", class_="note")
    if columns.undated:
        is_not = "is not" if columns.undated == 1 else "are not"
        yield make("p", f"{counted(columns.undated, 'date')} in the log that no calendar has {is_not} shown.", class_="note")

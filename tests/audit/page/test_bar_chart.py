"""The chart's bars are as high as the numbers say."""

from dataclasses import replace
from xml.etree.ElementTree import Element

import pytest

from audit.page.bar_chart import MAX_SERIES, bar_chart
from audit.page.elements import make
from audit.reporting.report import Report, Tool
from tests.support.audit.sample_report import BACKUP, EMPTY_REPORT, LIBVIRT, SOCAT, sample_report


def drawn(report: Report) -> Element:
    return make("div", *bar_chart(report))


def bars(chart: Element) -> list[Element]:
    return [rect for rect in chart.iter("rect") if rect.get("data-count")]


def texts(chart: Element, look: str) -> list[str]:
    return [element.text or "" for element in chart.iter() if element.get("class") == look]


def test_bars_have_the_counts_of_the_report() -> None:
    report = sample_report()
    found = [int(bar.get("data-count", "")) for bar in bars(drawn(report))]
    assert sum(found) == sum(sum(day.values()) for day in report.days.values())
    assert len(found) == sum(len(day) for day in report.days.values())


def test_bars_are_true_to_the_axis_and_two_pixels_apart() -> None:
    report = replace(EMPTY_REPORT, days={"2026-11-01": {LIBVIRT: 60, SOCAT: 40}})
    lower, upper = bars(drawn(report))
    assert [(bar.get("class"), bar.get("y"), bar.get("height")) for bar in (lower, upper)] == [
        ("bar series-1", "112", "144"),
        ("bar series-2", "16", "94"),
    ]
    assert [bar.findtext("title") for bar in (lower, upper)] == [
        "2026-11-01, libvirtd: 60 HMP commands of 100",
        "2026-11-01, socat: 40 HMP commands of 100",
    ]


def test_days_without_use_are_gaps() -> None:
    first, second = bars(drawn(replace(EMPTY_REPORT, days={"2026-11-01": {LIBVIRT: 1}, "2026-11-11": {LIBVIRT: 1}})))
    pitch = (1064 - 52) / 11
    assert float(second.get("x", "")) - float(first.get("x", "")) == pytest.approx(10 * pitch, abs=0.02)


def test_tools_beyond_the_colours_are_one() -> None:
    tools = [Tool(f"t{place}") for place in range(MAX_SERIES + 3)]
    chart = drawn(replace(EMPTY_REPORT, days={"2026-11-01": {tool: 100 - place for place, tool in enumerate(tools)}}))
    assert texts(chart, "name") == [*(tool.name for tool in tools[:MAX_SERIES]), "other tools (3)"]
    assert [(bar.get("class"), bar.get("data-count")) for bar in bars(chart)][-1] == ("bar series-other", str(93 + 92 + 91))


def test_modern_commands_are_a_line_with_marks() -> None:
    report = replace(EMPTY_REPORT, modern_days={"2026-11-01": {BACKUP: 3}, "2026-11-04": {BACKUP: 4}})
    chart = drawn(report)
    marks = [mark for mark in chart.iter("circle") if mark.get("data-count")]
    assert [(mark.get("data-count"), mark.get("cy")) for mark in marks] == [("3", "76"), ("4", "16")]
    assert marks[0].findtext("title") == "2026-11-01: 3 snapshot commands of QMP's own"
    line = next(chart.iter("polyline"))
    assert [point.partition(",")[2] for point in line.get("points", "").split()] == ["76.0", "256.0", "256.0", "16.0"]
    assert "QMP's own snapshot commands" in texts(chart, "name")


def test_column_tells_all_of_its_day() -> None:
    report = replace(
        EMPTY_REPORT,
        days={"2026-11-01": {LIBVIRT: 1}},
        modern_days={"2026-11-01": {BACKUP: 2}},
        failed_days={"2026-11-01": 1},
    )
    assert drawn(report).findtext(".//g/title") == "2026-11-01: 1 HMP command, 2 of QMP's own, 1 failed"


def test_many_days_are_grouped_and_the_chart_says_so() -> None:
    weeks = drawn(replace(EMPTY_REPORT, days={"2026-01-01": {LIBVIRT: 1}, "2026-06-30": {LIBVIRT: 1}}))
    assert "There are too many days for a bar each, so each bar is a week. A week begins on Monday." in texts(weeks, "note")
    assert next(weeks.iter("rect")).get("class") == "bar series-1"
    assert bars(weeks)[0].findtext("title") == "week of 2025-12-29, libvirtd: 1 HMP command of 1"
    years = drawn(replace(EMPTY_REPORT, days={"0001-01-01": {LIBVIRT: 1}, "9999-12-31": {LIBVIRT: 1}}))
    assert bars(years)[1].findtext("title", "").startswith("9999, ")
    assert float(bars(years)[1].get("width", "")) == 1


def test_nothing_is_a_sentence() -> None:
    assert texts(drawn(EMPTY_REPORT), "empty") == ["No day has a command to show."]
    odd = drawn(replace(EMPTY_REPORT, days={"2026-02-30": {LIBVIRT: 1}}))
    assert texts(odd, "note") == ["1 date in the log that no calendar has is not shown."]


def test_picture_is_told_in_words_and_has_its_numbers_as_a_table() -> None:
    report = replace(
        EMPTY_REPORT,
        days={"2026-11-01": {LIBVIRT: 60, SOCAT: 40}, "2026-11-03": {LIBVIRT: 1234}},
        modern_days={"2026-11-03": {BACKUP: 5}},
        failed_days={"2026-11-01": 2},
    )
    chart = drawn(report)
    told = "1,334 HMP commands and 5 of QMP's own, 2026-11-01 to 2026-11-03; most in 2026-11-03, 1,234"
    (picture,) = (svg for svg in chart.iter("svg") if svg.get("class") == "chart")
    assert (picture.get("role"), picture.get("aria-label")) == ("img", f"HMP commands by day and tool: {told}")
    rows = [[cell.text for cell in row] for body in chart.iter("tbody") for row in body]
    assert rows == [["2026-11-03", "1,234", "5", "0"], ["2026-11-01", "100", "0", "2"]]

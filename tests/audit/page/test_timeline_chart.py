"""Each save and load stands at its time, in its VM's row, as high as its pause."""

from dataclasses import replace
from xml.etree.ElementTree import Element

import pytest

from audit.page.elements import make
from audit.page.timeline_chart import MAX_ROWS, timeline_chart
from audit.reporting.report import VM, Report, TimelineEntry
from tests.support.audit.sample_report import EMPTY_REPORT, LIBVIRT, sample_report

SAVE = TimelineEntry(
    time="2026-11-01T10:00:00.000000Z",
    vm=VM("kvm-01", "vm1"),
    tool=LIBVIRT,
    command="savevm",
    tag="t1",
    duration_ms=120.0,
    stopped_ms=99.0,
    failed=False,
)
LOAD = replace(SAVE, time="2026-11-01T20:00:00.000000Z", command="loadvm")


def of(*entries: TimelineEntry, total: int | None = None) -> Report:
    return replace(EMPTY_REPORT, timeline=entries, timeline_total=len(entries) if total is None else total)


def drawn(report: Report) -> Element:
    return make("div", *timeline_chart(report))


def marks(chart: Element) -> list[Element]:
    picture = next(svg for svg in chart.iter("svg") if svg.get("class") == "chart")
    return [group for group in picture.iter("g") if (group.get("class") or "").startswith("mark ")]


def notes(chart: Element) -> list[str]:
    return [paragraph.text or "" for paragraph in chart.iter("p") if paragraph.get("class") == "note"]


def stem(mark: Element) -> tuple[float, float]:
    """Return where it stands, and how high it is."""
    line = mark.find("line")
    assert line is not None
    return float(line.get("x1", "")), float(line.get("y2", "")) - float(line.get("y1", ""))


def test_save_and_load_differ_in_look_and_shape() -> None:
    save, load = marks(drawn(of(SAVE, LOAD)))
    assert (save.get("class"), load.get("class")) == ("mark save", "mark load")
    assert [save.find("circle") is None, load.find("circle") is None] == [False, True]


@pytest.mark.parametrize(
    ("command", "look"), [("savevm", "save"), ("snapshot-save", "save"), ("loadvm", "load"), ("snapshot-load", "load")]
)
def test_commands_of_both_kinds(command: str, look: str) -> None:
    assert marks(drawn(of(replace(SAVE, command=command))))[0].get("class") == f"mark {look}"


def test_failed_one_is_crossed() -> None:
    (mark,) = marks(drawn(of(replace(SAVE, failed=True))))
    assert mark.get("class") == "mark save failed"
    assert mark.findall("path")[-1].get("class") == "cross"
    assert (mark.findtext("title") or "").split(" \N{MIDDLE DOT} ")[1] == "savevm t1, failed"


def test_mark_tells_its_story() -> None:
    assert marks(drawn(of(SAVE)))[0].findtext("title", "").split(" \N{MIDDLE DOT} ") == [
        "2026-11-01 10:00:00 UTC",
        "savevm t1",
        "VM: vm1 on kvm-01",
        "tool: libvirtd",
        "pause: 99 ms, of 120 ms in all",
    ]


def test_marks_stand_at_their_times_and_are_as_high_as_their_pauses() -> None:
    entries = [
        replace(SAVE, time=f"2026-11-01T1{hour}:00:00.000000Z", stopped_ms=ms)
        for hour, ms in ((0, 0.0), (1, 99.0), (4, 9999.0), (8, float("nan")))
    ]
    places, heights = zip(*map(stem, marks(drawn(of(*entries)))), strict=True)
    assert places == pytest.approx([168, 168 + 888 / 8, 168 + 888 / 2, 1056])
    assert heights == pytest.approx([3, 18.5, 34, 3], abs=0.1)


def test_each_vm_has_a_row() -> None:
    report = sample_report()
    chart = drawn(report)
    names = [text.text for text in chart.iter("text") if text.get("class") == "row-name"]
    assert len(names) == 6
    assert "router-lab-with-a-rath\N{HORIZONTAL ELLIPSIS}" in names
    assert len(marks(chart)) == len(report.timeline)


def test_wide_name_is_cut_to_its_room() -> None:
    chart = drawn(of(replace(SAVE, vm=VM("", "日" * 40))))
    assert [text.text for text in chart.iter("text") if text.get("class") == "row-name"] == [
        "日" * 11 + "\N{HORIZONTAL ELLIPSIS}"
    ]
    assert "日" * 40 in [title.text for title in chart.iter("title")]


def test_vms_without_a_row_are_counted() -> None:
    entries = [replace(SAVE, vm=VM("", f"vm{place:02}")) for place in range(MAX_ROWS + 2)]
    chart = drawn(of(*entries, *entries[:1], *entries[-1:]))
    assert len(marks(chart)) == MAX_ROWS + 2
    assert notes(chart) == ["The 20 VMs with the most; 2 other VMs had 2 saves and loads."]


def test_what_is_not_shown_is_said() -> None:
    chart = drawn(of(SAVE, replace(SAVE, time="2026-02-30T10:00:00.000000Z"), total=1200))
    assert notes(chart) == [
        "The latest 2 of 1,200 saves and loads.",
        "Not shown: 1 save or load at a time that no calendar has.",
    ]


@pytest.mark.parametrize("day", ["0001-01-01", "2024-02-29", "9999-12-31"])
def test_one_moment_is_a_timeline_too(day: str) -> None:
    (mark,) = marks(drawn(of(replace(SAVE, time=f"{day}T00:00:00.000000Z"))))
    assert 168 <= stem(mark)[0] <= 1056


def test_nothing_is_a_sentence() -> None:
    assert [paragraph.text for paragraph in drawn(EMPTY_REPORT).iter("p")] == ["No snapshot was saved or loaded."]


def test_picture_is_told_in_words() -> None:
    chart = drawn(of(SAVE, LOAD, replace(SAVE, vm=VM("", "vm2"), failed=True, stopped_ms=1840.0)))
    (picture,) = (svg for svg in chart.iter("svg") if svg.get("class") == "chart")
    told = "Saves and loads by VM and time: 3 of 2 VMs, 1 failed; longest pause 1.84 s, of vm2 on 2026-11-01"
    assert (picture.get("role"), picture.get("aria-label")) == ("img", told)

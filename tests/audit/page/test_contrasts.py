"""Whether it is safe to switch to mode rewrite, on the page."""

from operator import attrgetter
from pathlib import Path

from audit.page.contrasts import contrasts
from audit.page.document import render_html
from audit.page.elements import Element
from audit.reporting.report import Report
from tests.support.audit.audit_records import a_record, observed, report_of

CANNOT = "Error: Device 'd9' is writable but does not support snapshots\r\n"


def section_of(report: Report) -> Element:
    assert report.switch is not None
    return contrasts(report.switch, attrgetter("name"))


def rows(section: Element) -> list[list[str]]:
    return [["".join(cell.itertext()) for cell in row] for body in section.iter("tbody") for row in body]


def test_what_differs_has_its_reasons_and_examples(tmp_path: Path) -> None:
    excluded = [{"node": "n", "device": "d9", "included": False, "reason": "excluded by the configuration"}]
    section = section_of(report_of(tmp_path, observed(hmp=CANNOT, nodes=excluded), observed(vm="w", nodes=excluded)))
    leaves_out = "the policy leaves out 'd9' (excluded by the configuration)"
    why = f"HMP refuses, and rewriting would not: {leaves_out}"
    moment, other = "2026-11-24 10:00", "same answer, other snapshot"
    assert rows(section) == [
        ["differs", why, "1", moment, moment],
        [other, leaves_out, "1", moment, moment],
        [moment, "differs", "vm1", "tool", "savevm t1", CANNOT.strip(), "success"],
        [moment, other, "w", "tool", "savevm t1", "success", "success"],
        ["vm1", "h1", "1", "0", "1"],
        ["w", "h1", "1", "1", "0"],
    ]
    assert [part.text for part in section.findall("p")] == [
        "1 of 2 answers would be the same in mode rewrite; 1 differs.",
        "With the same answer, 1 savevm command would save another snapshot than HMP did.",
    ]


def test_where_all_is_the_same_one_line_says_so(tmp_path: Path) -> None:
    section = section_of(report_of(tmp_path, observed(), observed()))
    assert [part.tag for part in section] == ["h2", "p"]


def test_page_has_its_answer_at_the_top_where_anything_was_observed(tmp_path: Path) -> None:
    page = render_html(report_of(tmp_path, observed()), generated="today")
    assert (
        page.index('aria-label="Headline"')
        < page.index('href="#switch"')
        < page.index('id="first"')
        < page.index('id="switch"')
    )
    assert 'id="switch"' not in render_html(report_of(tmp_path, a_record()), generated="today")

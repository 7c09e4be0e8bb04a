"""What breaks on another QEMU, on the page."""

from dataclasses import replace
from operator import attrgetter

from audit.page.document import render_html
from audit.page.prospects import prospects
from audit.reporting.report import Outlook
from audit.reporting.target import foresee, parse_target
from tests.support.audit.sample_report import sample_report

SAMPLE = sample_report()


def outlook(target: str) -> Outlook:
    return foresee(SAMPLE.tools, parse_target(target))


def test_section_has_verdict_notes_and_a_row_for_each_command() -> None:
    found = outlook("no-hmp")
    section = prospects(found, attrgetter("name"))
    rows = [["".join(cell.itertext()) for cell in row] for body in section.iter("tbody") for row in body]
    assert "".join(section[0].itertext()) == "What breaks on a QEMU without HMP"
    assert [part.text for part in section.iter("p")] == [found.verdict, *found.notes]
    assert len(rows) == len(found.prospects)
    gone = ["socat", "info block", "gone", "11.2", "312", "QMP's query-block and query-named-block-nodes"]
    gone += ["login session", "alice"]
    assert rows[0] == gone
    assert rows[-1][2:4] == ["goes on working", "\N{EN DASH}"]


def test_nothing_that_breaks_needs_no_table() -> None:
    found = foresee(SAMPLE.tools[1:], parse_target("11.1"))
    assert [part.tag for part in prospects(found, attrgetter("name"))] == ["h2", "p"]


def test_section_is_at_the_top_of_the_page_where_it_was_asked_for() -> None:
    page = render_html(replace(SAMPLE, outlook=outlook("11.2")), generated="today")
    assert (
        page.index('aria-label="Headline"')
        < page.index('href="#target"')
        < page.index('id="target"')
        < page.index('class="tiles"')
    )
    assert 'id="target"' not in render_html(SAMPLE, generated="today")

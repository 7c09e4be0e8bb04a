"""The page as text: whole, of its own, and nothing of the log is markup in it."""

from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from audit.page.document import render_html
from audit.reporting.report import Report
from tests.support.audit.hostile_report import HARMLESS, IMAGE, SCRIPT, hostile_report
from tests.support.audit.sample_report import EMPTY_LOG, EMPTY_REPORT, sample_report

GENERATED = "2026-11-24 08:00 UTC"
VOID = frozenset({"meta", "link", "input", "wbr"})
FETCHING = frozenset({"src", "href", "srcset", "xlink:href", "data", "action", "poster", "background"})


class Page(HTMLParser):
    """What a browser makes of it: elements, attributes and text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.ids: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(markup)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.texts.append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


def page(report: Report) -> Page:
    return Page(render_html(report, generated=GENERATED))


SAMPLE = page(sample_report())


def test_sections_are_in_their_order() -> None:
    ids = [value for tag, name, value in SAMPLE.attributes if (tag, name) == ("section", "id")]
    assert ids[:3] == ["first", "board", "changes"]
    assert ids[3:] == ["use", "timeline", "tools", "commands", "failures", "silent", "overwritten", "standstill", "log"]
    assert {link.removeprefix("#") for tag, name, link in SAMPLE.attributes if (tag, name) == ("a", "href")} <= set(ids)


def test_page_says_what_it_is_and_whence() -> None:
    assert "Who still uses HMP" in SAMPLE.texts
    assert "2026-10-15 06:12 to 2026-11-23 21:48 UTC" in SAMPLE.texts
    origin = "6,041 records of the audit logs /var/log/hmpshim/audit.jsonl and /var/log/hmpshim/audit.jsonl.1.gz."
    assert f"{origin} Made on {GENERATED}." in SAMPLE.texts


def test_tiles_have_the_totals() -> None:
    assert [value for tag, name, value in SAMPLE.attributes if (tag, name) == ("li", "data-value")] == [
        *("3881", "428", "6", "30", "11", "217", "7"),
    ]
    assert "1 blocked, 4 covered and 1 modern" in SAMPLE.texts


def test_notes_on_the_logs() -> None:
    for text in (
        "120 records left out by the filters",
        "1 command unfinished: begun, and the outcome is not on record",
        "2 jobs recovered: found after a lost connection, and seen to its end",
        "cannot read /var/log/hmpshim/audit.jsonl.1.gz: CRC check failed; what comes before it was read",
    ):
        assert text in SAMPLE.texts


def test_notes_count_the_prompts_own_questions() -> None:
    found = page(replace(EMPTY_REPORT, log=replace(EMPTY_LOG, housekeeping=2)))
    assert "2 questions of hmp-repl's own: not counted as use of HMP" in found.texts


def test_nothing_is_fetched() -> None:
    links = {value for _, name, value in SAMPLE.attributes if name in FETCHING}
    assert {link for link in links if not link.startswith("#")} == {"data:,"}
    assert SAMPLE.values("content")[0].startswith("default-src 'none'; ")
    own = "".join(files("audit").joinpath("page", name).read_text() for name in ("style.css", "script.js"))
    assert [
        word for word in ("url(", "@import", "http:", "https:", "fetch(", "XMLHttpRequest", "innerHTML") if word in own
    ] == []


@pytest.mark.parametrize("name", ["style.css", "script.js"])
def test_own_files_cannot_end_their_element(name: str) -> None:
    text = files("audit").joinpath("page", name).read_text()
    assert "</" not in text
    assert "<!--" not in text


def test_hostile_names_are_text() -> None:
    found, harmless = page(hostile_report()), page(HARMLESS)
    # A command that is not called loadvm any more has another shape in the timeline, a long name may be broken, and what two
    # tools are called has in it where they run.
    differing = {tag for tag in found.tags | harmless.tags if found.tags[tag] != harmless.tags[tag]}
    assert differing == {"path", "circle", "wbr", "span", "div"}
    assert {name for _, name, _ in found.attributes} == {name for _, name, _ in harmless.attributes}
    assert any(SCRIPT in text and IMAGE in text for text in found.texts)
    assert SCRIPT in render_html(hostile_report(), generated=GENERATED).replace("&lt;", "<").replace("&gt;", ">")
    assert not any(set(text) & {"\x00", "\x1b", "\ud800"} for text in found.texts)
    render_html(hostile_report(), generated=GENERATED).encode("utf-8")


def test_empty_report_is_a_page() -> None:
    found = page(EMPTY_REPORT)
    assert "Nothing to judge: there are no records." in found.texts
    assert "Nothing is missing from what was read." in found.texts
    assert found.tags["table"] == 0
    assert "no log" in "".join(page(replace(EMPTY_REPORT, log=replace(EMPTY_LOG, names=()))).texts)


def test_ids_are_unique() -> None:
    assert [name for name, count in Counter(SAMPLE.values("id")).items() if count > 1] == []


def test_many_logs_are_counted() -> None:
    log = replace(EMPTY_LOG, names=tuple(f"log{place}" for place in range(60)))
    texts = page(replace(EMPTY_REPORT, log=log)).texts
    assert "and 10 more" in texts
    assert any("log0, log1, log2 and 57 more" in text for text in texts)

"""The page in a real browser, at a desk and on a phone, in light and in dark: all of it can be read, reached and found."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from audit.page.document import render_html
from audit.reporting.report import Report
from audit.reporting.target import foresee, parse_target
from tests.support.audit.browser import prefer, press, resize, show
from tests.support.audit.crowded_report import crowded_report
from tests.support.audit.hostile_report import hostile_report
from tests.support.audit.page_measures import BROKEN_WORDS, CUT_OFF, LOW_CONTRAST, OVERLAPS
from tests.support.audit.sample_report import EMPTY_REPORT, sample_report
from tests.support.raw_client import DEADLINE_S

WIDTHS: Final = (1280, 768, 360)
SCHEMES: Final = ("light", "dark")
PAGES: Final = ("sample", "crowded", "hostile", "empty")
# WCAG 2.1, "1.4.3 Contrast (Minimum)".
READABLE: Final = 4.5
# What can be measured where all is folded, and where each row and each text is unfolded.
OPEN_ALL: Final = "for (const each of document.querySelectorAll('details')) { each.open = true; }"
SIDEWAYS: Final = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Boxes, links and the like that the keyboard has to reach.
FOCUSABLE: Final = "a[href], button, input, summary, [tabindex='0']"
# Roles that mean nothing to somebody who hears the page, unless they have a name.
NAMED: Final = frozenset({"link", "button", "searchbox", "textbox", "img", "image", "region", "table", "search"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the pages."""
    made = tmp_path_factory.mktemp("pages")
    crowded = crowded_report(made, 250)
    outlook = foresee(crowded.tools, parse_target("no-hmp"))
    found: dict[str, Report] = {
        "sample": sample_report(),
        "crowded": replace(crowded, outlook=outlook),
        "hostile": hostile_report(),
        "empty": EMPTY_REPORT,
    }
    for name in PAGES:
        made.joinpath(f"{name}.html").write_text(render_html(found[name], generated="2026-11-24 08:00 UTC"), encoding="utf-8")
    return made


def measured(browser: webdriver.Chrome, script: str, *arguments: float) -> list[str]:
    wrong: list[str] = browser.execute_script(script, *arguments)
    return wrong


def both_ways(browser: webdriver.Chrome) -> Iterator[str]:
    """Have the page as it comes, and then with all that it folds."""
    yield "folded"
    browser.execute_script(OPEN_ALL)
    yield "unfolded"


@pytest.mark.matrix
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_cut_off_or_hard_to_read_and_nothing_lies_on_something_else(
    browser: webdriver.Chrome, folder: Path, name: str, width: int
) -> None:
    resize(browser, width)
    show(browser, folder, name)
    for way in both_ways(browser):
        assert browser.execute_script(SIDEWAYS) == 0, way
        for script in (CUT_OFF, OVERLAPS, BROKEN_WORDS):
            assert measured(browser, script) == [], way
        # Colours take no room, so what is above need not be measured for each.
        for scheme in SCHEMES:
            prefer(browser, scheme)
            assert measured(browser, LOW_CONTRAST, READABLE) == [], (way, scheme)


@pytest.mark.parametrize(
    ("script", "harm"),
    [
        (CUT_OFF, ".headline { white-space: nowrap; }"),
        (CUT_OFF, ".tiles { width: 110vw; }"),
        (OVERLAPS, ".intro { margin-top: -20px; }"),
        (BROKEN_WORDS, ".headline { word-break: break-all; width: 200px; }"),
        (LOW_CONTRAST, ".detail { color: #999; }"),
    ],
)
def test_measures_find_what_is_wrong(browser: webdriver.Chrome, folder: Path, script: str, harm: str) -> None:
    resize(browser, 768)
    show(browser, folder)
    assert measured(browser, script, READABLE) == []
    browser.execute_script(
        "const sheet = new CSSStyleSheet(); sheet.replaceSync(arguments[0]); document.adoptedStyleSheets = [sheet];", harm
    )
    assert measured(browser, script, READABLE) != []


@pytest.mark.parametrize("name", ["sample", "crowded"])
def test_first_screen_of_a_phone_says_what_to_do(browser: webdriver.Chrome, folder: Path, name: str) -> None:
    resize(browser, 360, 740)
    show(browser, folder, name)
    assert browser.find_element(By.CSS_SELECTOR, ".headline").rect["y"] < 200
    step = browser.find_element(By.CSS_SELECTOR, "#first li").rect
    assert step["y"] + step["height"] <= 740


def test_row_is_a_paragraph_on_a_phone_in_which_each_cell_has_its_heading(browser: webdriver.Chrome, folder: Path) -> None:
    resize(browser, 360)
    show(browser, folder)
    label = "return getComputedStyle(document.querySelector('#tools td[data-label=HMP]'), '::before').content"
    assert browser.execute_script(label) == '"HMP: "'
    row = browser.find_element(By.CSS_SELECTOR, "#tools tbody tr")
    assert row.rect["width"] < 360 < row.rect["height"] * 2


def texts_of_shown_rows(browser: webdriver.Chrome, section: str) -> list[str]:
    script = (
        "return Array.from(document.querySelectorAll(`#${arguments[0]} tbody tr`)).filter((row) => row.checkVisibility())"
        ".map((row) => row.innerText)"
    )
    texts: list[str] = browser.execute_script(script, section)
    return texts


def shown_rows(browser: webdriver.Chrome, section: str) -> int:
    return len(texts_of_shown_rows(browser, section))


def test_long_table_is_folded_and_unfolded_without_a_script(browser: webdriver.Chrome, folder: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    show(browser, folder, "crowded")
    assert browser.find_elements(By.CSS_SELECTOR, "thead button") == []
    assert not browser.find_element(By.CSS_SELECTOR, ".filter").is_displayed()
    total = len(browser.find_elements(By.CSS_SELECTOR, "#commands tbody tr"))
    assert shown_rows(browser, "commands") == 10 < total
    browser.find_element(By.CSS_SELECTOR, "#commands .fold summary").click()
    assert shown_rows(browser, "commands") == total


def test_filter_shows_the_rows_that_have_all_its_words(browser: webdriver.Chrome, folder: Path) -> None:
    show(browser, folder)
    box = browser.find_element(By.ID, "filter")
    box.send_keys("SOCAT  /usr/bin savevm")
    wait = WebDriverWait(browser, DEADLINE_S)
    wait.until(lambda _: shown_rows(browser, "commands") == 1)
    assert texts_of_shown_rows(browser, "commands")[0].split()[:3] == ["socat", "savevm", "snapshot-save"]
    assert shown_rows(browser, "standstill") == 0
    told = "return getComputedStyle(document.querySelector('#standstill .listing'), '::after').content"
    assert browser.execute_script(told) == '"No row of this table has all that the filter asks for."'
    result = browser.find_element(By.CSS_SELECTOR, ".filter output").text
    assert result.split()[1:] == ["of", *result.split()[2:3], "rows"]
    box.send_keys(Keys.CONTROL, "a", Keys.DELETE)
    wait.until(lambda _: shown_rows(browser, "standstill") == 5)
    assert browser.find_element(By.CSS_SELECTOR, ".filter output").text == ""


def test_filter_finds_rows_that_are_folded_and_names_however_they_are_composed(browser: webdriver.Chrome, folder: Path) -> None:
    show(browser, folder, "crowded")
    box = browser.find_element(By.ID, "filter")
    box.send_keys("\u00e9diteur")
    WebDriverWait(browser, DEADLINE_S).until(lambda _: shown_rows(browser, "commands") > 10)
    assert all("e\u0301diteur" in row for row in texts_of_shown_rows(browser, "commands"))


def focusable(browser: webdriver.Chrome) -> list[Any]:
    return [each for each in browser.find_elements(By.CSS_SELECTOR, FOCUSABLE) if each.is_displayed()]


@pytest.mark.parametrize("width", [1280, 360])
def test_keyboard_reaches_everything_in_order_and_shows_where_it_is(
    browser: webdriver.Chrome, folder: Path, width: int
) -> None:
    resize(browser, width)
    show(browser, folder)
    wanted = [each.id for each in focusable(browser)]
    outline = "const look = getComputedStyle(document.activeElement); return [look.outlineStyle, parseFloat(look.outlineWidth)]"
    reached = []
    for _ in wanted:
        press(browser, "Tab")
        reached.append(browser.switch_to.active_element.id)
        style, line = browser.execute_script(outline)
        assert (style, line >= 2) == ("solid", True)
    assert reached == wanted


def test_whatever_can_be_used_or_seen_has_a_name(browser: webdriver.Chrome, folder: Path) -> None:
    show(browser, folder, "crowded")
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    known = [node for node in nodes if not node["ignored"] and node["role"]["value"] in NAMED]
    assert {"link", "button", "searchbox", "region", "table", "search"} <= {node["role"]["value"] for node in known}
    nameless = [node["role"]["value"] for node in known if node["role"]["value"] != "search" and not node["name"]["value"]]
    assert nameless == []
    headers = {node["role"]["value"] for node in nodes if not node["ignored"]}
    assert {"rowheader", "columnheader"} <= headers


def test_page_runs_and_looks_as_it_says_and_nothing_else(browser: webdriver.Chrome, folder: Path) -> None:
    """The policy names this style and this script; it takes no other, wherever it came from."""
    show(browser, folder)
    assert browser.execute_script("return document.documentElement.classList.contains('scripted')")
    browser.execute_script(
        "const other = document.createElement('script'); other.textContent = 'window.ran = true'; document.body.append(other);"
        "document.body.insertAdjacentHTML('beforeend', '<p id=styled style=\"color: red\">x</p>');"
    )
    assert browser.execute_script("return window.ran") is None
    assert browser.find_element(By.ID, "styled").value_of_css_property("color") != "rgba(255, 0, 0, 1)"

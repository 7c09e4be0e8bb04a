"""The page in a real browser: it is drawn, sorted, printed, and it neither runs nor fetches anything of others."""

import base64
import json
import re
from pathlib import Path
from typing import Final

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoAlertPresentException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from audit.page.document import render_html
from tests.support.audit.browser import browser_log, prefer, show
from tests.support.audit.hostile_report import IMAGE, SCRIPT, hostile_report
from tests.support.audit.sample_report import EMPTY_REPORT, sample_report
from tests.support.raw_client import DEADLINE_S

# WCAG 2.1, "1.4.3 Contrast (Minimum)" and "1.4.11 Non-text Contrast".
READABLE: Final = 4.5
SEEN: Final = 3.0
REPORTS: Final = {"sample": sample_report(), "hostile": hostile_report(), "empty": EMPTY_REPORT}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the pages."""
    made = tmp_path_factory.mktemp("pages")
    for name, report in REPORTS.items():
        made.joinpath(f"{name}.html").write_text(render_html(report, generated="2026-11-24 08:00 UTC"), encoding="utf-8")
    return made


def heading(browser: webdriver.Chrome, section: str, text: str) -> WebElement:
    return next(th for th in browser.find_elements(By.CSS_SELECTOR, f"#{section} thead th") if th.text == text)


def column(browser: webdriver.Chrome, section: str, text: str) -> list[str]:
    place = [th.text for th in browser.find_elements(By.CSS_SELECTOR, f"#{section} thead th")].index(text) + 1
    return [td.text for td in browser.find_elements(By.CSS_SELECTOR, f"#{section} tbody tr > :nth-child({place})")]


def wait_for_sort(browser: webdriver.Chrome, section: str, text: str, direction: str) -> None:
    WebDriverWait(browser, DEADLINE_S).until(lambda _: heading(browser, section, text).get_attribute("aria-sort") == direction)


def luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def style(browser: webdriver.Chrome, selector: str, member: str) -> str:
    return browser.find_element(By.CSS_SELECTOR, selector).value_of_css_property(member)


@pytest.mark.parametrize("name", REPORTS)
def test_console_is_empty_and_nothing_is_fetched(browser: webdriver.Chrome, folder: Path, name: str) -> None:
    url = show(browser, folder, name)
    assert [entry for entry in browser_log(browser, "browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    messages = [json.loads(entry["message"])["message"] for entry in browser_log(browser, "performance")]
    requests = [each["params"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    # The browser's own first tab may still be loading what it is made of.
    sent = [request["request"]["url"] for request in requests if not request["documentURL"].startswith("chrome:")]
    assert {address for address in sent if address != "data:,"} == {url}


def test_charts_are_drawn(browser: webdriver.Chrome, folder: Path) -> None:
    show(browser, folder)
    for selector in ("#use .bar.series-1", "#use .modern-mark", "#timeline .mark.save .head", "#timeline .mark.load .head"):
        sizes = [each.rect for each in browser.find_elements(By.CSS_SELECTOR, selector)]
        assert sizes
        assert all(size["width"] > 0 and size["height"] > 0 for size in sizes), selector
    assert len(browser.find_elements(By.CSS_SELECTOR, "#timeline .mark.failed .cross")) > 0


def test_click_sorts_numbers_up_and_then_down(browser: webdriver.Chrome, folder: Path) -> None:
    show(browser, folder)
    for direction in ("ascending", "descending"):
        heading(browser, "tools", "HMP").find_element(By.TAG_NAME, "button").click()
        wait_for_sort(browser, "tools", "HMP", direction)
        counts = [int(text.replace(",", "")) for text in column(browser, "tools", "HMP")]
        assert counts == sorted([0, 31, 231, 405, 875, 2339], reverse=direction == "descending")


@pytest.mark.parametrize("key", [Keys.ENTER, Keys.SPACE])
def test_keyboard_sorts_too(browser: webdriver.Chrome, folder: Path, key: str) -> None:
    show(browser, folder)
    button = heading(browser, "standstill", "Longest").find_element(By.TAG_NAME, "button")
    browser.execute_script("arguments[0].focus()", button)
    button.send_keys(key)
    wait_for_sort(browser, "standstill", "Longest", "ascending")
    assert column(browser, "standstill", "Longest") == ["189 ms", "640 ms", "1.90 s", "2.20 s", "9.41 s"]


def test_one_column_at_a_time_is_sorted_and_what_is_missing_is_last(browser: webdriver.Chrome, folder: Path) -> None:
    show(browser, folder)
    heading(browser, "tools", "HMP").find_element(By.TAG_NAME, "button").click()
    for direction in ("ascending", "descending"):
        heading(browser, "tools", "Blocked by, and what to do").find_element(By.TAG_NAME, "button").click()
        wait_for_sort(browser, "tools", "Blocked by, and what to do", direction)
        assert column(browser, "tools", "Tool")[0] == "socat\n/usr/bin/socat"
    assert len(browser.find_elements(By.CSS_SELECTOR, "#tools thead th:not([aria-sort=none])")) == 1


def test_hostile_names_are_shown_as_text(browser: webdriver.Chrome, folder: Path) -> None:
    show(browser, folder, "hostile")
    with pytest.raises(NoAlertPresentException):
        _ = browser.switch_to.alert.text
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 1
    assert browser.find_elements(By.TAG_NAME, "img") == []
    assert [each.text for each in browser.find_elements(By.CSS_SELECTOR, ".logs li")] == [SCRIPT, IMAGE]
    assert browser.find_element(By.CSS_SELECTOR, "#tools th.name").text.startswith(f"socat{SCRIPT}{IMAGE}\\x00\\x1b")


@pytest.mark.parametrize("name", REPORTS)
def test_page_does_not_scroll_sideways_on_a_phone(browser: webdriver.Chrome, folder: Path, name: str) -> None:
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    show(browser, folder, name)
    assert browser.execute_script("return [window.innerWidth, document.documentElement.scrollWidth]") == [360, 360]


def test_dark_differs_from_light_and_both_can_be_read(browser: webdriver.Chrome, folder: Path) -> None:
    show(browser, folder)
    pages = []
    for scheme in ("light", "dark"):
        prefer(browser, scheme)
        pages.append(style(browser, "body", "background-color"))
        card = style(browser, "#tools", "background-color")
        for selector in ("h2", ".intro", "#tools td", "#tools td.none", "thead button", ".small", ".note"):
            assert contrast(style(browser, selector, "color"), card) >= READABLE, (scheme, selector)
        for selector in (".headline", ".verdict .detail"):
            assert contrast(style(browser, selector, "color"), style(browser, ".verdict", "background-color")) >= READABLE
        assert contrast(style(browser, ".chart .tick", "fill"), card) >= READABLE
        for series in (*range(1, 8), "other"):
            colour = browser.execute_script(
                "const it = document.querySelector('.bar').cloneNode(); it.setAttribute('class', arguments[0]);"
                "document.querySelector('.chart').append(it); return getComputedStyle(it).fill",
                f"series-{series}",
            )
            assert contrast(colour, card) >= SEEN, (scheme, series)
    assert luminance(pages[0]) > 0.8 > 0.1 > luminance(pages[1])


def test_page_can_be_printed_whole(browser: webdriver.Chrome, folder: Path) -> None:
    show(browser, folder)
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF-")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    # A4 on its side without its margins, at the 96 pixels an inch that CSS has.
    paper = {"width": 1032, "height": 700, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", paper)
    widths = browser.execute_script("return [...document.querySelectorAll('table, .chart')].map(each => each.clientWidth)")
    assert max(widths) <= paper["width"]
    assert style(browser, ".scroll", "overflow-x") == "visible"

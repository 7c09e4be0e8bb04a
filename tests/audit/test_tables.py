"""A table has what is read, and beside it what it is sorted by."""

from xml.etree.ElementTree import Element

from audit.page.tables import Cell, Column, amount, cell, long_text, pause, stacked, table, text, time

COLUMNS = (Column("Tool"), Column("Count", is_number=True))


def parts(found: Element, tag: str) -> list[Element]:
    return list(found.iter(tag))


def test_headings_are_buttons_with_a_kind() -> None:
    headings = parts(table("Tools", COLUMNS, []), "th")
    assert [(th.get("data-kind"), th.get("aria-sort"), th.get("scope")) for th in headings] == [
        ("text", "none", "col"),
        ("number", "none", "col"),
    ]
    assert [button.text for th in headings for button in th.iter("button")] == ["Tool", "Count"]
    assert {button.get("type") for th in headings for button in th.iter("button")} == {"button"}


def test_table_scrolls_in_a_box_that_the_keyboard_reaches() -> None:
    box = table("Tools", COLUMNS, [])
    assert (box.get("class"), box.get("role"), box.get("tabindex"), box.get("aria-label")) == ("scroll", "region", "0", "Tools")


def test_cells_have_their_values() -> None:
    found = table("Tools", COLUMNS, [(text("a"), amount(12345)), (text(""), amount(0))])
    assert [(td.text, td.get("data-value"), td.get("class")) for td in parts(found, "td")] == [
        ("a", "a", None),
        ("12,345", "12345", "number"),
        ("\N{EN DASH}", "", None),
        ("0", "0", "number none"),
    ]


def test_pause_sorts_by_milliseconds() -> None:
    assert [pause(ms).value for ms in (1.5, float("nan"), float("inf"))] == [1.5, 0.0, 1e12]
    assert pause(1840.0).children == ("1.84 s",)


def test_time_shows_the_minute_and_has_all() -> None:
    moment = "2026-11-19T16:02:51.730122Z"
    assert time(moment) == Cell(("2026-11-19 16:02",), moment, "time", moment)
    assert time("").value == ""


def test_texts_stand_one_below_the_other() -> None:
    assert stacked(["a", "b"]).value == "a, b"
    shown = table("Tools", COLUMNS, [(stacked(["a", "b"]), cell("x", value=1))])
    assert [div.text for div in parts(parts(shown, "tbody")[0], "div")] == ["a", "b"]
    assert stacked([]).children == ("\N{EN DASH}",)


def test_long_text_has_room() -> None:
    assert long_text("a").look == "long"

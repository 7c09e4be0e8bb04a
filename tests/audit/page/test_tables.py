"""A table has what is read, and beside it what it is sorted by."""

from xml.etree.ElementTree import Element

import pytest

from audit.page.tables import Cell, Column, amount, cell, command, long_text, name, pause, stacked, table, text, time

COLUMNS = (Column("Tool"), Column("Count", is_number=True))


def parts(found: Element, tag: str) -> list[Element]:
    return list(found.iter(tag))


def test_headings_have_a_kind_and_name_their_columns() -> None:
    found = table("Tools", COLUMNS, [(text("a"), amount(1))])
    assert [(th.text, th.get("data-kind"), th.get("scope")) for th in parts(parts(found, "thead")[0], "th")] == [
        ("Tool", "text", "col"),
        ("Count", "number", "col"),
    ]
    assert [caption.text for caption in parts(found, "caption")] == ["Tools."]


def test_first_cell_names_its_row_and_each_cell_its_column() -> None:
    row = parts(parts(table("Tools", COLUMNS, [(text("a"), amount(1))]), "tbody")[0], "tr")[0]
    assert [(each.tag, each.get("scope"), each.get("data-label")) for each in row] == [
        ("th", "row", "Tool"),
        ("td", None, "Count"),
    ]


def test_column_in_which_no_row_tells_anything_is_left_out() -> None:
    columns = (*COLUMNS, Column("Host"), Column("Pause", is_number=True), Column("State"))
    rows = [(text(""), amount(0), text(""), pause(0.0), cell("x")), (text(""), amount(0), text(""), pause(1.0), cell("x"))]
    headings = parts(parts(table("Tools", columns, rows), "thead")[0], "th")
    assert [th.text for th in headings] == ["Tool", "Pause", "State"]


@pytest.mark.parametrize(("count", "told"), [(11, []), (12, ["The first 10 of 12 rows. ", "All 12 rows. ", ": Tools"])])
def test_many_rows_are_folded(count: int, told: list[str]) -> None:
    found = table("Tools", COLUMNS, [(text("a"), amount(place)) for place in range(count)])
    assert [span.text for summary in parts(found, "summary") for span in parts(summary, "span")] == told
    assert len(parts(parts(found, "tbody")[0], "tr")) == count


def test_table_scrolls_in_a_box_that_the_keyboard_reaches() -> None:
    box = table("Tools", COLUMNS, [])[0]
    assert (box.get("class"), box.get("role"), box.get("tabindex"), box.get("aria-label")) == ("scroll", "region", "0", "Tools")


def test_cells_have_their_values() -> None:
    found = table("Tools", COLUMNS, [(text("a"), amount(12345)), (text(""), amount(0))])
    cells = [each for body in parts(found, "tbody") for row in body for each in row]
    assert [(each.text, each.get("data-value"), each.get("class")) for each in cells] == [
        ("a", "a", None),
        ("12,345", "12345", "number"),
        ("\N{EN DASH}", "", "none"),
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


def test_many_texts_are_folded() -> None:
    shown = table("Tools", COLUMNS, [(stacked([str(place) for place in range(9)]), amount(1))])
    (details,) = parts(shown, "details")
    assert [part.text for part in details] == ["and 6 more", "3", "4", "5", "6", "7", "8"]
    assert parts(table("Tools", COLUMNS, [(stacked(["a", "b", "c", "d"]), amount(1))]), "details") == []


def test_long_text_and_command_have_room() -> None:
    assert [long_text("a").look, command("a").look] == ["long", "command"]


def test_name_has_in_its_title_what_it_is_short_for() -> None:
    assert [name("a", "/bin/a").title, name("a", "a").title, name("a").title] == ["/bin/a", None, None]
    assert name("").children == ("\N{EN DASH}",)

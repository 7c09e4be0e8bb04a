"""A table fits: texts are broken, columns that can be spared go, and in the end rows are paragraphs."""

import pytest

from audit.forms.text_table import Column, folded, more, text_table, titled_table
from audit.forms.text_width import text_width

COLUMNS = (Column("tool"), Column("count", is_number=True), Column("host", goes=2), Column("seen", goes=1), Column("what"))
ROWS = (
    ("socat", "3", "kvm-01", "2026-11-24", "use query-block and query-named-block-nodes"),
    ("/opt/bin/x", "12", "", "", "-"),
)


def test_table_takes_the_room_that_it_needs() -> None:
    lines = [
        "  tool        count  host    seen        what",
        "  socat           3  kvm-01  2026-11-24  use query-block and query-named-block-nodes",
        "  /opt/bin/x     12                      -",
    ]
    assert text_table(COLUMNS, ROWS, None) == text_table(COLUMNS, ROWS, 84) == lines


def test_texts_are_broken_between_words_where_there_is_less() -> None:
    assert text_table(COLUMNS, ROWS, 60) == [
        "  tool        count  host    seen        what",
        "  socat           3  kvm-01  2026-11-24  use query-block and",
        "                                           query-named-",
        "                                           block-nodes",
        "  /opt/bin/x     12                      -",
    ]


def test_columns_go_in_their_order_and_that_is_told() -> None:
    assert text_table(COLUMNS, ROWS, 47)[0].split() == ["tool", "count", "host", "what"]
    assert text_table(COLUMNS, ROWS, 47)[-1] == "  (no room for: seen)"
    assert text_table(COLUMNS, ROWS, 39)[0].split() == ["tool", "count", "what"]
    assert text_table(COLUMNS, ROWS, 39)[-1] == "  (no room for: host, seen)"


def test_rows_are_paragraphs_where_no_table_fits() -> None:
    assert text_table(COLUMNS, ROWS, 32) == [
        "  socat",
        "      count 3; host kvm-01",
        "      seen 2026-11-24",
        "      what use query-block and",
        "        query-named-block-nodes",
        "  /opt/bin/x",
        "      count 12",
    ]


def test_column_that_tells_nothing_is_left_out() -> None:
    """0 is nothing where it is a count: a user's number is none."""
    columns = (Column("vm"), Column("n", is_number=True), Column("ms", is_number=True), Column("uid"), Column("host"))
    assert text_table(columns, [("-", "0", "0.0", "0", "-"), ("", "0", "0.0", "0", "")], 80) == [
        "  vm  uid",
        "  -   0",
        "      0",
    ]


def test_what_needs_little_gets_it_and_the_others_share_the_rest() -> None:
    columns = (Column("a"), Column("b"), Column("c"))
    rows = [("x" * 18, "y" * 60, "z" * 60)]
    heads, *_ = text_table(columns, rows, 18 + 25 + 25 + 6)
    assert (heads.index("b"), heads.index("c")) == (2 + 18 + 2, 2 + 18 + 2 + 25 + 2)


@pytest.mark.parametrize("width", range(24, 100))
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    rows = [("測試虛擬機器-生產環境", "1", "שלום" * 9, "e\u0301" * 30, "x" * 99), *ROWS]
    assert max(map(text_width, text_table(COLUMNS, rows, width))) <= width
    assert max(map(text_width, titled_table(COLUMNS, rows, ["a b c " * 20] * 3, width))) <= width


def test_rows_stand_under_their_titles() -> None:
    rows = [("a", "1"), ("b", "2"), ("c", "3")]
    assert titled_table(COLUMNS[:2], rows, ["one", "one", "\x1b"], None) == [
        "    tool  count",
        "  one",
        "    a         1",
        "    b         2",
        "  \\x1b",
        "    c         3",
    ]


def test_cells_are_harmless() -> None:
    assert text_table((Column("a"),), [("\x1b[2J\u202e",)], 80)[1] == "  \\x1b[2J\\u202e"


@pytest.mark.parametrize(("count", "most", "shown"), [(5, None, (5, 0)), (5, 4, (5, 0)), (6, 4, (4, 2)), (2, 4, (2, 0))])
def test_long_lists_are_folded(count: int, most: int | None, shown: tuple[int, int]) -> None:
    rows, left = folded(range(count), most)
    assert (len(rows), left) == shown


def test_what_is_folded_is_counted() -> None:
    assert (more(0), more(1234)) == ([], ["  … and 1,234 more (--all)"])

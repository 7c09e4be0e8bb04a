"""What breaks on another QEMU, as a section of the page."""

from audit.page.elements import Element, make
from audit.page.sections import section
from audit.page.tables import Cell, Column, amount, long_text, table, text
from audit.report import Outlook, Prospect

__all__ = ["prospects"]


def prospects(outlook: Outlook) -> Element:
    """Return the section: the verdict, what must be known beside it, and a table where that says more."""
    heading = f"What breaks on {outlook.target}"
    notes = [make("p", note, class_="note") for note in outlook.notes]
    listing = table(heading, _COLUMNS, [_row(one) for one in outlook.prospects]) if outlook.is_worth_a_table else None
    return section("target", heading, outlook.verdict, listing, *notes)


_COLUMNS = (
    *(Column("There"), Column("Since"), Column("Tool"), Column("Command"), Column("Count", is_number=True)),
    *(Column("Instead"), Column("Host")),
)


def _row(one: Prospect) -> list[Cell]:
    name = Cell((one.tool.name,), one.tool.name, look="name")
    command = Cell((make("b", one.command),), one.command, look="command")
    return [
        text(one.fate.value),
        text(one.since),
        name,
        command,
        amount(one.count),
        long_text(one.instead),
        text(one.tool.host),
    ]

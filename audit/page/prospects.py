"""What breaks on another QEMU, as a section of the page."""

from audit.page.elements import Element, make
from audit.page.sections import Label, section
from audit.page.tables import Cell, Column, amount, command, long_text, name, table, text
from audit.reporting.report import Outlook, Prospect

__all__ = ["prospects"]


def prospects(outlook: Outlook, label: Label) -> Element:
    """Return the section: the verdict, the notes on it, and a table if that says more."""
    heading = f"What breaks on {outlook.target}"
    notes = [make("p", note, class_="note") for note in outlook.notes]
    listing = table(heading, _COLUMNS, [_row(one, label) for one in outlook.prospects]) if outlook.is_worth_a_table else None
    return section("target", heading, outlook.verdict, listing, *notes)


_COLUMNS = (
    *(Column("Tool"), Column("Command"), Column("There"), Column("Since"), Column("Count", is_number=True)),
    *(Column("Instead"), Column("Runs in"), Column("User")),
)


def _row(one: Prospect, label: Label) -> list[Cell]:
    return [
        name(label(one.tool), one.tool.name),
        command(one.command),
        text(one.fate.value),
        text(one.since),
        amount(one.count),
        long_text(one.instead),
        text(one.tool.place),
        text(one.tool.user),
    ]

"""Whether it is safe to leave mode observe for mode rewrite, as a section of the page."""

from audit.page.elements import Element, make
from audit.page.sections import Label, section
from audit.page.tables import Cell, Column, amount, long_text, name, table, text, time
from audit.reporting.switch import Contrast, Example, Switch, VMSwitch
from audit.reporting.wording import answer

__all__ = ["contrasts"]


def contrasts(found: Switch, label: Label) -> Element:
    """Return the section: the verdict, why answers differ and the latest that do, and a table by VM if there are several."""
    note = make("p", found.note, class_="note") if found.note else None
    reasons = [_reason(one) for one in found.contrasts]
    examples = [_example(one, example, label) for one in found.contrasts for example in one.examples]
    vms = [_vm(one) for one in found.vms]
    return section(
        *("switch", "Safe to switch to mode rewrite?", found.verdict, note),
        table("Why answers are not plainly the same", _REASONS, reasons) if reasons else None,
        table("The latest such answers", _EXAMPLES, examples) if examples else None,
        table("By VM", _VMS, vms) if len(vms) > 1 else None,
    )


_REASONS = (Column("Answer"), Column("Why"), Column("Count", is_number=True), Column("First (UTC)"), Column("Last (UTC)"))
_EXAMPLES = (
    *(Column("Time (UTC)"), Column("Answer"), Column("VM"), Column("Tool"), Column("Command")),
    *(Column("HMP's answer"), Column("Rewritten")),
)
_VMS = (
    *(Column("VM"), Column("Host")),
    *(Column(heading, is_number=True) for heading in ("Observed", "Same", "Differ", "Not known")),
)


def _reason(one: Contrast) -> list[Cell]:
    return [text(one.agreement.value), long_text(one.why), amount(one.count), time(one.first), time(one.last)]


def _example(one: Contrast, example: Example, label: Label) -> list[Cell]:
    return [
        *(time(example.time), text(one.agreement.value), name(example.vm.name), name(label(example.tool), example.tool.name)),
        *(long_text(example.command_line), long_text(answer(example.hmp)), long_text(answer(example.rewritten))),
    ]


def _vm(one: VMSwitch) -> list[Cell]:
    counts = (one.observed, one.same, one.differ, one.unknown)
    return [name(one.vm.name), text(one.vm.host), *map(amount, counts)]

"""What is wrong with snapshots or in their way, and the lines to type, laid out for a terminal."""

from collections.abc import Iterator, Sequence

from repl.output.layout import COMMAND, Fragment, Fragments, Line, joined, words, wrapped
from shim.plans.repairs import Fault, Repair, TypedLine
from shim.printable import printable

__all__ = ["advice", "fault_lines"]

_DIM, _FAULT = "class:dim", "class:fault"
_UNTYPABLE = "(complete the name with the Tab key: it has characters that no key types)"


def advice(faults: Sequence[Fault], width: int) -> Fragments:
    """Return the faults and repairs to show below a plan."""
    return joined(list(fault_lines(faults, width)))


def fault_lines(faults: Sequence[Fault], width: int) -> Iterator[Line]:
    """Yield the faults and their repairs; a repair that helps with several faults is shown once."""
    told: list[Repair] = []
    for fault in faults:
        said = [(_FAULT, "!"), *words(printable(f"{fault.kind}: {fault.text}"), _FAULT)]
        yield from wrapped(said, width=width, indent=2, hanging=4)
        new = [repair for repair in fault.repairs if repair not in told]
        for number, repair in enumerate(new):
            yield from _repair(repair, width, is_first=not number)
        told += new


def _repair(repair: Repair, width: int, *, is_first: bool) -> Iterator[Line]:
    """Yield each command on a line of its own, then what they do, indented less than a command's continuation lines."""
    labels = [words(label) for label in repair.labels(is_first=is_first)]
    effect = words(printable(repair.effect))
    if not all(word.isprintable() for line in repair.lines for word in line.spelled()):
        effect += words(_UNTYPABLE)
    if not repair.lines:
        yield from wrapped([*labels[0], *effect], width=width, indent=4, hanging=6)
        return
    for label, line in zip(labels, repair.lines, strict=True):
        yield from wrapped([*label, *_command(line)], width=width, indent=4, hanging=8)
    yield from wrapped([(_DIM, word) for _, word in effect], width=width, indent=6, hanging=6)


def _command(line: TypedLine) -> list[Fragment]:
    return [(COMMAND, printable(word)) for word in line.spelled()]

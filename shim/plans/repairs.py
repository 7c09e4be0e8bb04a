"""What is wrong with a snapshot or in the way of one, and what to type against it: the values, and their form on the wire.

A repair never loses what the person may want to keep. If the only way is to lose something, its effect says what.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from shim.hmp.quoting import quote_tag
from shim.qmp import JSON

__all__ = ["Fault", "FaultKind", "Repair", "TypedLine", "Where", "read_faults"]

# A word of a line. A part in double quotes, with HMP's or JSON's escapes, may contain blanks.
_WORD = re.compile(r'(?:"(?:\\.|[^"\\])*"|\'[^\']*\'|[^\s"\'])+')


class FaultKind(StrEnum):
    """What is wrong, in the order in which loadvm comes across it.

    UNABLE: a disk that the policy takes cannot hold snapshots, so no tag can be loaded. PARTIAL: a disk that the policy takes
    lacks the tag. DUPLICATED: a disk has it more often than one savevm makes it. SHADOWED_BY_ID: the tag is another snapshot's
    id on a disk. NO_VM_STATE: the snapshot has disks only. BUSY: a job or a bitmap keeps QEMU from loading any tag.

    loadvm does not check the others. MIXED: its snapshots were made at different moments. BLOCKED: nothing can be saved,
    because the VM cannot be migrated. NO_ROOM: the VM's RAM may not fit. HIDDEN: the snapshot is in an image below that of the
    disk.
    """

    UNABLE = "unable"
    PARTIAL = "partial"
    DUPLICATED = "duplicated"
    SHADOWED_BY_ID = "shadowed"
    NO_VM_STATE = "disks only"
    BUSY = "busy"
    MIXED = "mixed"
    BLOCKED = "blocked"
    NO_ROOM = "no room"
    HIDDEN = "hidden"


class Where(StrEnum):
    """Where to type the lines of a repair. PROMPT: at `hmp>`. OPTION: as options of hmp-repl or hmp-proxy."""

    PROMPT = ""
    OPTION = "option"
    SHELL = "VM off"
    GUEST = "in the guest"


@dataclass(frozen=True, slots=True)
class TypedLine:
    """A line to type: these words, and then the tag, quoted for HMP. tag: None for no tag."""

    words: tuple[str, ...]
    tag: str | None = None

    def spelled(self) -> tuple[str, ...]:
        """Return the words as they are typed. A tag that HMP cannot express is shown as Python spells it."""
        return self.words if self.tag is None else (*self.words, quote_tag(self.tag) or repr(self.tag))

    def __str__(self) -> str:
        return " ".join(self.spelled())

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what `str` made."""
        return cls(tuple(_WORD.findall(text)))


@dataclass(frozen=True, slots=True)
class Repair:
    """One way out. lines: what to type, in this order; () if there is nothing to type."""

    lines: tuple[TypedLine, ...]
    effect: str
    where: Where = Where.PROMPT

    def labels(self, *, is_first: bool) -> Iterator[str]:
        """Yield the label for each line, or for the effect if there are no lines."""
        first = "repair" if is_first else "or"
        yield f"{first} ({self.where}):" if self.where else f"{first}:"
        yield from ["then:"] * (len(self.lines) - 1)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and the ways out, any one of which is enough."""

    kind: FaultKind
    text: str
    repairs: tuple[Repair, ...] = ()

    def to_members(self) -> dict[str, JSON]:
        ways = [
            {"where": way.where.name.lower(), "lines": [str(line) for line in way.lines], "effect": way.effect}
            for way in self.repairs
        ]
        return {"kind": self.kind.value, "text": self.text, "ways": ways}


def read_faults(members: Sequence[JSON]) -> tuple[Fault, ...]:
    """Read what `to_members` made, without what only a newer proxy knows. Raises KeyError or TypeError for anything else."""
    known = {kind.value: kind for kind in FaultKind}
    return tuple(
        Fault(known[fault["kind"]], fault["text"], tuple(_read_repairs(fault["ways"])))
        for fault in members
        if fault["kind"] in known
    )


def _read_repairs(members: Sequence[JSON]) -> Iterator[Repair]:
    places = {place.name.lower(): place for place in Where}
    for way in members:
        if way["where"] in places:
            lines = tuple(map(TypedLine.read, way["lines"]))
            yield Repair(lines, way["effect"], places[way["where"]])

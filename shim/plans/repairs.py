"""What is wrong with a snapshot or in the way of one, and what to type for it: the values, and how they go over the wire.

A repair never loses what the person wants to keep. Where nothing is left but to lose something, its effect says what.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from shim.hmp.quoting import quote_tag
from shim.qmp import JSON

__all__ = ["Fault", "FaultKind", "Repair", "TypedLine", "Where", "read_faults"]

# A word of a line: text in double quotes, with HMP's and JSON's escapes, is a part of one.
_WORD = re.compile(r'(?:"(?:\\.|[^"\\])*"|\'[^\']*\'|[^\s"\'])+')


class FaultKind(StrEnum):
    """What is wrong, in the order in which loadvm comes to it.

    UNABLE: a disk that the policy takes cannot hold snapshots, so no tag can be loaded. PARTIAL: such a disk lacks the tag.
    DUPLICATED: a disk has it more often than one savevm makes it. SHADOWED_BY_ID: it is another snapshot's id on a disk.
    NO_VM_STATE: it holds disks only. BUSY: a job or a bitmap keeps QEMU from loading any tag.

    The others are none of loadvm's. MIXED: its snapshots were made at different moments; loadvm does not look at that.
    BLOCKED: nothing can be saved, because the VM cannot be migrated. NO_ROOM: the VM's RAM may not fit. HIDDEN: it is in an
    image below that of the disk.
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
    """Where the lines of a repair are typed; PROMPT is `hmp>`, and OPTION is for whoever starts hmp-repl or hmp-proxy."""

    PROMPT = ""
    OPTION = "option"
    SHELL = "VM off"
    GUEST = "in the guest"


@dataclass(frozen=True, slots=True)
class TypedLine:
    """A line to type: these words, and after them the tag, which HMP's quoting spells. tag: None for no tag."""

    words: tuple[str, ...]
    tag: str | None = None

    def spelled(self) -> tuple[str, ...]:
        """Return the words as they are typed. HMP cannot be told every tag; such a one is shown as it is."""
        return self.words if self.tag is None else (*self.words, quote_tag(self.tag) or repr(self.tag))

    def __str__(self) -> str:
        return " ".join(self.spelled())

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what `str` made."""
        return cls(tuple(_WORD.findall(text)))


@dataclass(frozen=True, slots=True)
class Repair:
    """One way out. lines: to be typed in this order; () where there is nothing to type."""

    lines: tuple[TypedLine, ...]
    effect: str
    where: Where = Where.PROMPT

    def labels(self, *, is_first: bool) -> Iterator[str]:
        """Return what stands before each line, or before the effect where there is none."""
        first = "repair" if is_first else "or"
        yield f"{first} ({self.where}):" if self.where else f"{first}:"
        yield from ["then:"] * (len(self.lines) - 1)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and the ways out, of which one is enough."""

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
    """Read what `to_members` made; leave out what only a newer proxy knows. Raises KeyError or TypeError."""
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

"""Whether a team may leave mode observe for mode rewrite, as values.

In mode observe QEMU itself runs each snapshot command, and the record has beside its answer the one that rewriting would have
given. The two are the same if the text is, which in HMP also tells success from failure. docs/audit.md says what cannot be
foretold.
"""

from dataclasses import dataclass
from enum import StrEnum

from audit.reporting.parties import VM, Tool
from audit.reporting.wording import counted, listed, number

__all__ = ["Agreement", "Contrast", "Example", "Switch", "VMSwitch"]


class Agreement(StrEnum):
    """What an observed answer says of the switch.

    DIFFERS: rewriting would have answered otherwise. UNKNOWN: nobody can tell, as where QEMU found its disk full.
    ELSEWHERE: the answer is the same, but the snapshot would be another. SAME: all else.
    """

    DIFFERS = "differs"
    UNKNOWN = "not known"
    ELSEWHERE = "same answer, other snapshot"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Example:
    """One observed command. hmp: what QEMU answered; rewritten: what rewriting would have. "" is success, None not known."""

    time: str
    vm: VM
    tool: Tool
    command_line: str
    hmp: str | None
    rewritten: str | None


@dataclass(frozen=True, slots=True)
class Contrast:
    """All observed commands that are not plainly the same for one reason. examples: the latest, the newest first."""

    agreement: Agreement
    why: str
    count: int
    first: str
    last: str
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class VMSwitch:
    """The counts of one VM. same: with those whose snapshot would be another."""

    vm: VM
    observed: int
    same: int
    differ: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Switch:
    """The answer for all VMs. vms: in the order of their names. contrasts: by agreement, then the newest first."""

    vms: tuple[VMSwitch, ...]
    contrasts: tuple[Contrast, ...]

    @property
    def observed(self) -> int:
        return sum(one.observed for one in self.vms)

    @property
    def same(self) -> int:
        return sum(one.same for one in self.vms)

    @property
    def elsewhere(self) -> int:
        return sum(one.count for one in self.contrasts if one.agreement is Agreement.ELSEWHERE)

    @property
    def verdict(self) -> str:
        """Say it in a sentence: `409 of 412 answers would be the same in mode rewrite; 2 differ and 1 is not known.`"""
        differ, unknown = (sum(getattr(one, member) for one in self.vms) for member in ("differ", "unknown"))
        rest = [f"{number(differ)} {'differs' if differ == 1 else 'differ'}"] if differ else []
        rest += [f"{number(unknown)} {'is' if unknown == 1 else 'are'} not known"] if unknown else []
        told = f"{number(self.same)} of {counted(self.observed, 'answer')} would be the same in mode rewrite"
        return f"{told}; {listed(rest)}." if rest else f"{told}."

    @property
    def note(self) -> str:
        """Say what the same answers hide; "" if nothing."""
        if not self.elsewhere:
            return ""
        commands = counted(self.elsewhere, "savevm command")
        return f"With the same answer, {commands} would save another snapshot than HMP did."

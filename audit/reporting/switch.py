"""Whether a team can safely leave mode observe for mode rewrite, as values.

In mode observe, QEMU itself runs each snapshot command, and the record has both its answer and the one that rewriting would
have given. They are the same if their texts are, which in HMP also distinguish success from failure. docs/audit.md says what
cannot be predicted.
"""

from dataclasses import dataclass
from enum import StrEnum

from audit.reporting.parties import VM, Tool
from audit.reporting.wording import counted, listed, number

__all__ = ["Agreement", "Contrast", "Example", "Switch", "VMSwitch"]


class Agreement(StrEnum):
    """What an observed answer says about the switch.

    DIFFERS: rewriting would have answered differently. UNKNOWN: that cannot be known, for example if QEMU found its disk full.
    ELSEWHERE: the answer is the same, but the snapshot would be another one. SAME: everything else.
    """

    DIFFERS = "differs"
    UNKNOWN = "not known"
    ELSEWHERE = "same answer, other snapshot"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Example:
    """One observed command. hmp: QEMU's answer. rewritten: the answer of rewriting. Both: "" for success, None if unknown."""

    time: str
    vm: VM
    tool: Tool
    command_line: str
    hmp: str | None
    rewritten: str | None


@dataclass(frozen=True, slots=True)
class Contrast:
    """All observed commands that are not SAME, for one reason. examples: the latest ones, newest first."""

    agreement: Agreement
    why: str
    count: int
    first: str
    last: str
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class VMSwitch:
    """The counts for one VM. same: including those whose snapshot would be another one."""

    vm: VM
    observed: int
    same: int
    differ: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Switch:
    """The result for all VMs. vms: by host and name. contrasts: by agreement, then newest first."""

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
        """Return a sentence: `409 of 412 answers would be the same in mode rewrite; 2 differ and 1 is not known.`"""
        differ, unknown = (sum(getattr(one, member) for one in self.vms) for member in ("differ", "unknown"))
        rest = [f"{number(differ)} {'differs' if differ == 1 else 'differ'}"] if differ else []
        rest += [f"{number(unknown)} {'is' if unknown == 1 else 'are'} not known"] if unknown else []
        told = f"{number(self.same)} of {counted(self.observed, 'answer')} would be the same in mode rewrite"
        return f"{told}; {listed(rest)}." if rest else f"{told}."

    @property
    def note(self) -> str:
        """Return what equal answers hide, as a sentence; "" if nothing."""
        if not self.elsewhere:
            return ""
        commands = counted(self.elsewhere, "savevm command")
        return f"With the same answer, {commands} would save another snapshot than HMP did."

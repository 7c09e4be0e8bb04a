"""What the operator wants of snapshots: selection.py chooses nodes by it, and limits.py holds commands against it."""

from dataclasses import dataclass, field
from enum import StrEnum

from shim.graph.exclusions import Exclusions
from shim.graph.patterns import Pattern

__all__ = [
    *("ABANDON_AFTER_S", "ABANDON_LOAD_AFTER_S"),
    "FailedLoad",
    "Mode",
    "Overwrite",
    "Policy",
    "PolicyKind",
    "WhenFull",
]

# QEMU drops at once what a client that hung up had not begun. A plan's survey comes before what it begins, and QEMU may be busy
# with another client's savevm meanwhile, so a fire-and-forget script gets these seconds. A loadvm gets fewer: done late, it
# throws away what the VM has done since.
ABANDON_AFTER_S = 5.0
ABANDON_LOAD_AFTER_S = 1.0


class PolicyKind(StrEnum):
    AUTO = "auto"
    HMP = "hmp"


class Overwrite(StrEnum):
    """What a savevm does whose tag exists, where QEMU's own savevm cannot replace it (shim/plans/saving.py).

    SAFE: a snapshot exists at every moment. REPLACE: quicker, with a moment at which there is none. REFUSE: not at all.
    """

    SAFE = "safe"
    REPLACE = "replace"
    REFUSE = "refuse"


class FailedLoad(StrEnum):
    """What a loadvm does that is known to fail: stop the VM first and leave it stopped, as HMP does, or leave it alone."""

    HMP = "hmp"
    REFUSE = "refuse"


class WhenFull(StrEnum):
    """What a savevm does that would make one snapshot too many.

    DELETE_OLDEST: save, and then delete the oldest of those whose tags have the prefix that the operator named.
    """

    REFUSE = "refuse"
    DELETE_OLDEST = "delete-oldest"


class Mode(StrEnum):
    """REWRITE snapshot commands; OBSERVE only what rewriting would do; ENFORCE that nothing else of HMP is used."""

    REWRITE = "rewrite"
    OBSERVE = "observe"
    ENFORCE = "enforce"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator wants.

    kind: AUTO leaves a UEFI varstore out of the way; HMP takes exactly what QEMU's HMP commands take.
    vmstate: the first pattern that a fitting node matches says which one gets the VM state; () lets the kind decide.
    include, exclude: nodes that are taken, or not, whatever the kind says; exclude wins.
    guard: refuse what is known to crash the connected QEMU.
    abandon_after_s, abandon_load_after_s: the command of a client that has hung up is not begun so long after it came: savevm
    and delvm, and loadvm, which throws the present away.
    failed_load: None where the operator does not say; a proxy then does as HMP does, and a prompt refuses.
    allow: in mode ENFORCE, the HMP commands that pass: "qemu-io", "info block", or "info" for all its topics.
    max_snapshots: 0 for any number. when_full: what a savevm does that would exceed it. delete_prefix: what the tags begin
    with that may be deleted then; "" lets none be. protect: the tags, as shell patterns, that are neither replaced nor deleted.
    protect_load: those that are not loaded. check_space: no savevm where the RAM may not fit.
    exclusions: what `exclude` has left out so far, so that a disk that it loses is told of. It is no part of the wish.
    """

    kind: PolicyKind = PolicyKind.AUTO
    vmstate: tuple[Pattern, ...] = ()
    include: tuple[Pattern, ...] = ()
    exclude: tuple[Pattern, ...] = ()
    overwrite: Overwrite = Overwrite.SAFE
    guard: bool = True
    abandon_after_s: float = ABANDON_AFTER_S
    abandon_load_after_s: float = ABANDON_LOAD_AFTER_S
    failed_load: FailedLoad | None = None
    mode: Mode = Mode.REWRITE
    allow: frozenset[str] = frozenset()
    max_snapshots: int = 0
    when_full: WhenFull = WhenFull.REFUSE
    delete_prefix: str = ""
    protect: frozenset[str] = frozenset()
    protect_load: frozenset[str] = frozenset()
    check_space: bool = False
    exclusions: Exclusions = field(default_factory=Exclusions, compare=False, repr=False)

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """All patterns that name block nodes."""
        return (*self.vmstate, *self.include, *self.exclude)

"""What the operator wants from snapshots: selection.py chooses nodes by it, and limits.py checks commands against it."""

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

# When a client hangs up, QEMU itself drops its commands that have not begun. A plan begins only after its survey, which may
# have to wait for another client's savevm, so a fire-and-forget script gets these seconds. A loadvm gets fewer: done late, it
# throws away what the VM has done since.
ABANDON_AFTER_S = 5.0
ABANDON_LOAD_AFTER_S = 1.0


class PolicyKind(StrEnum):
    AUTO = "auto"
    HMP = "hmp"


class Overwrite(StrEnum):
    """What a savevm does if its tag exists and QEMU's own savevm cannot replace it (shim/plans/saving.py).

    SAFE: a snapshot exists at every moment. REPLACE: quicker, but for a moment there is none. REFUSE: never replace one, not
    even by QEMU's own savevm.
    """

    SAFE = "safe"
    REPLACE = "replace"
    REFUSE = "refuse"


class FailedLoad(StrEnum):
    """What a loadvm that is known to fail does: stop the VM and leave it stopped, as HMP does, or leave the VM alone."""

    HMP = "hmp"
    REFUSE = "refuse"


class WhenFull(StrEnum):
    """What a savevm does that would exceed max_snapshots.

    DELETE_OLDEST: save, and then delete the oldest of the snapshots whose tags begin with the operator's prefix.
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

    kind: AUTO keeps UEFI varstores from getting in the way; HMP takes exactly what QEMU's HMP commands take. With HMP, include
    and exclude do not apply to the nodes that HMP looks at.
    vmstate: the first pattern that matches a taken node which can hold the VM state decides; () leaves it to the kind.
    include, exclude: nodes to take or to leave out whatever AUTO says; exclude wins.
    guard: refuse what is known to crash the connected QEMU.
    abandon_after_s, abandon_load_after_s: if the client has hung up, its savevm or delvm, or its loadvm, is not begun later
    than this after it arrived. A loadvm throws the present away.
    failed_load: None if the operator does not say; then a proxy does as HMP does, and a prompt refuses.
    allow: in mode ENFORCE, the HMP commands that pass: "qemu-io", "info block", or "info" for all its topics.
    max_snapshots: 0 for no limit. when_full: what a savevm that would exceed it does. delete_prefix: the prefix of the tags
    that may be deleted then; "" allows none.
    protect: the tags, as shell patterns, that are neither replaced nor deleted. protect_load: those that are not loaded.
    check_space: refuse a savevm if the RAM may not fit.
    exclusions: what `exclude` has left out until now, to report a disk that it loses. It is not a setting.
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
        """Return all patterns that name block nodes."""
        return (*self.vmstate, *self.include, *self.exclude)

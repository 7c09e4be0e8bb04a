"""The limit on the number of snapshots: what counts, and which would be deleted for a new one.

Each tag counts once, on however many of the policy's disks it is: what `info snapshots` lists, loadable or not. The internal
tags of a replacing savevm do not count; they go by themselves.

The oldest snapshot is deleted only after the new one is saved (shim/plans/saving.py), so that nothing is lost whatever fails.
It must be certain which is the oldest: a host's clock may have been set back, and then the dates contradict the image's list,
which has the newest last. If they disagree about what would be deleted, nothing is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shim.graph.limits import is_protected
from shim.graph.policy import Policy, WhenFull
from shim.graph.selection import Selection
from shim.plans.intent import read_internal_tag

__all__ = ["Surplus", "counted_tags", "find_surplus"]


@dataclass(frozen=True, slots=True)
class Surplus:
    """What the limit means for a new snapshot. refusal: why it is not made. oldest: the tags to delete once it is made."""

    refusal: str | None = None
    oldest: tuple[str, ...] = ()


def counted_tags(selection: Selection) -> list[str]:
    """Return the tags that count, in the order of the first disk's list, then those that only the other disks have."""
    names = dict.fromkeys(name for node in selection.included for name in node.snapshots.names)
    return [name for name in names if read_internal_tag(name) is None]


def find_surplus(tag: str, selection: Selection, policy: Policy) -> Surplus:
    """Return what the limit means for a savevm of this tag. One that replaces a tag adds none."""
    limit = policy.max_snapshots
    if not limit or tag in (tags := counted_tags(selection)):
        return Surplus()
    if read_internal_tag(tag) is not None:
        return Surplus(f"'{tag}' is named as hmpshim names its own, which max_snapshots does not count; use another tag")
    count = len(tags) + 1 - limit
    if count <= 0:
        return Surplus()
    told = f"the VM has {len(tags)} snapshot{'s' * (len(tags) != 1)}, and the setting max_snapshots allows {limit}"
    if policy.when_full is WhenFull.REFUSE:
        return Surplus(f"{told}; delete one (delvm), or save over one that is there")
    may_go = _by_age(selection, [tag for tag in tags if _may_go(tag, policy)])
    if len(may_go) < count:
        which = "whose tag begins with delete_prefix and is not protected"
        there = f"{len(may_go)} of the {count} to be deleted for it" if may_go else "none"
        return Surplus(f"{told}; there is {there} {which}, so delete one (delvm)")
    oldest, kept = may_go[:count], may_go[count:]
    if (doubt := _doubt(selection, oldest, kept)) is not None:
        return Surplus(f"{told}; {doubt}, so delete one yourself (delvm)")
    return Surplus(oldest=tuple(oldest))


def _may_go(tag: str, policy: Policy) -> bool:
    return bool(policy.delete_prefix) and tag.startswith(policy.delete_prefix) and not is_protected(tag, policy.protect)


def _by_age(selection: Selection, tags: Sequence[str]) -> list[str]:
    """Sort by date, the oldest first. A tag with several snapshots is as old as the newest of them."""

    def date_sec(tag: str) -> int:
        return max(snapshot.date_sec for node in selection.included for snapshot in node.snapshots.named(tag))

    return sorted(tags, key=date_sec)


def _doubt(selection: Selection, oldest: Sequence[str], kept: Sequence[str]) -> str | None:
    """Return where a disk lists a snapshot to keep before one to delete, so that it must be older; None if nowhere."""
    for node in selection.included:
        names = list(node.snapshots.names)
        staying = min((names.index(tag) for tag in kept if tag in names), default=len(names))
        going = max((names.index(tag) for tag in oldest if tag in names), default=-1)
        if going > staying:
            dates = f"by its date snapshot '{names[going]}' is older than snapshot '{names[staying]}'"
            return f"it is not certain which is the oldest: {dates}, but '{node.label}' has them in the other order"
    return None

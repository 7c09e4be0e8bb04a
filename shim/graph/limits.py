"""What the operator forbids everyone to do to snapshots: which tags to leave alone, and what a command's words say about that.

Once the disks have been surveyed, the plans decide (shim/plans/snapshot_plans.py, shim/plans/saving.py) and ask here about a
tag. This module decides alone where there is no survey: about a line that QEMU gets as it is, about QMP's own commands, about a
QEMU that does not describe its disks. If a limit cannot be enforced there, the command is refused: a limit that a client can
get around is none.

QEMU deletes by a snapshot's name alone, never by its id (seen on 7.2 to 11.1, with `delvm` and `snapshot-delete`); only loading
tries a tag as an id first.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from shim.graph.policy import Policy
from shim.hmp.line import DelVM, HMPCommand, HMPLine, LoadVM, SaveVM
from shim.qmp import JSON

__all__ = [
    "against_line",
    "against_long_tag",
    "against_modern",
    "against_tag",
    "is_limited",
    "is_protected",
    "without_survey",
]

# include/migration/snapshot.h and block/snapshot.h: a snapshot's name is a char[256] with its final NUL. HMP's argument has
# room for 1023 bytes (shim/hmp/line.py).
_NAME_LIMIT_BYTES = 255
_ARGUMENT_LIMIT_BYTES = 1023


def is_protected(tag: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns is the tag or matches it with shell wildcards."""
    return any(tag == pattern or fnmatchcase(tag, pattern) for pattern in patterns)


def is_limited(command: HMPCommand | None, policy: Policy) -> bool:
    """Return whether a setting may forbid such a command, so that QEMU must not get it unchecked."""
    match command:
        case SaveVM():
            return bool(policy.protect or policy.max_snapshots or policy.check_space)
        case DelVM():
            return bool(policy.protect)
        case LoadVM():
            return bool(policy.protect_load)
    return False


def against_tag(command: HMPCommand, policy: Policy, names: Iterable[str] = ()) -> str | None:
    """Return why the command may not touch its tag, on whatever disk; None if it may.

    names: the tags of other snapshots that a load of this tag would load instead.
    """
    match command:
        case SaveVM(str(tag)) if is_protected(tag, policy.protect):
            return f"snapshot '{tag}' is protected (setting protect), so it is not replaced; use another tag"
        case DelVM(tag) if is_protected(tag, policy.protect):
            return f"snapshot '{tag}' is protected (setting protect), so it is not deleted; take it out of protect to delete it"
        case LoadVM(tag):
            named = next((name for name in (tag, *names) if is_protected(name, policy.protect_load)), None)
            if named is not None:
                return f"snapshot '{named}' may not be loaded (setting protect_load); take it out of protect_load to load it"
    return None


def against_long_tag(tag: str, policy: Policy) -> str | None:
    """Return why a tag that QEMU would truncate is not saved; None if it fits, or if no limits apply.

    The next savevm would not find the truncated tag, so each would add one more snapshot of the same name, which no limit
    counts, and that name may be the tag of a protected snapshot.
    """
    if len(tag.encode()) <= _NAME_LIMIT_BYTES or not is_limited(SaveVM(tag), policy):
        return None
    return f"QEMU would cut the tag to {_NAME_LIMIT_BYTES} bytes, so no limit on snapshots could be enforced; use a shorter one"


def against_line(line: HMPLine, policy: Policy) -> str | None:
    """Return why a savevm that we cannot parse, and that QEMU would get as it is, is refused; None if it is not.

    QEMU truncates an argument that is too long, maybe within a character, and then saves under a name that no other command can
    spell.
    """
    is_cut = line.command is None and line.name == "savevm" and len(line.text.encode(errors="replace")) > _ARGUMENT_LIMIT_BYTES
    return against_long_tag(line.text, policy) if is_cut else None


def without_survey(command: HMPCommand, policy: Policy, reason: str) -> str | None:
    """Return why a command is not left to a QEMU whose disks could not be surveyed, for that `reason`; None if it may be."""
    if (danger := against_tag(command, policy)) is not None:
        return danger
    if isinstance(command, LoadVM) and policy.protect_load and command.tag.isdecimal():
        return f"'{command.tag}' may be the id of a snapshot that may not be loaded (setting protect_load): {reason}"
    if isinstance(command, SaveVM) and (danger := against_long_tag(command.tag or "", policy)) is not None:
        return danger
    if isinstance(command, SaveVM) and policy.max_snapshots:
        return f"the snapshots cannot be counted, which the setting max_snapshots requires: {reason}"
    return None


def against_modern(message: Mapping[str, JSON], policy: Policy) -> str | None:
    """Return why one of QMP's own commands is refused; None if it is not.

    A command that would delete a protected snapshot is, whether or not that snapshot exists. QMP's other snapshot commands
    replace nothing; who may send them is a matter of the rules (shim/rules/).
    """
    match message:
        case {"execute": "snapshot-delete", "arguments": {"tag": str(tag)}}:
            return against_tag(DelVM(tag), policy)
        case {"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"name": str(name)}}:
            return against_tag(DelVM(name), policy)
        case {"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"id": _}} if policy.protect:
            return "an id does not tell whether the snapshot is protected (setting protect); give its name too"
    return None

"""What a savevm that replaces a snapshot is about to do, written down before its first step.

Between the steps of a replacing savevm the proxy can be killed. The intent tells the next one what was meant, so that it can
finish or report it (shim/plans/recovery.py). Where it is kept is the driver's matter: host/intents.py has a file per VM.

The internal tag is readable on purpose. Where every file of ours is lost, `info snapshots` still shows a person which tag it
stands for, and that it is one of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from shim.qmp import JSON

__all__ = ["INTERNAL_PREFIX", "Intent", "InternalTag", "internal_tag", "read_internal_tag"]

INTERNAL_PREFIX = "hmpshim-"
# The ids of the proxy and of the prompt: for which address, which run (host/ids.py), which job, and after them the tag. An
# earlier prompt had no address in its ids.
_INTERNAL = re.compile(r"((?:hmp(?:shim|repl)-[0-9a-f]{16}|hmprepl)-[0-9a-f]{8}-)[0-9]+-(.*)", re.DOTALL)
# include/migration/snapshot.h and block/snapshot.h: a snapshot's name is a char[256] with its final NUL.
_NAME_LIMIT_BYTES = 255
# In UTF-8: a cut never splits one.
_LONGEST_CHARACTER = 4


@dataclass(frozen=True, slots=True)
class Intent:
    """A savevm whose tag exists.

    internal_tag: under which the state is saved before the old snapshot is deleted; None where the old one is deleted first.
    vmstate, devices: node names, as snapshot-save is to get them.
    marker: the id of a job that stays in QEMU, concluded, until all is done. Where it is found, QEMU is still the same process.
    """

    tag: str
    internal_tag: str | None
    vmstate: str
    devices: tuple[str, ...]
    marker: str

    def to_members(self) -> dict[str, JSON]:
        """Return it as it is kept on disk, and read by a newer version or an older one."""
        return {
            "tag": self.tag,
            "internal_tag": self.internal_tag,
            "vmstate": self.vmstate,
            "devices": list(self.devices),
            "marker": self.marker,
        }

    @classmethod
    def from_members(cls, members: Mapping[str, JSON]) -> Self:
        """Read what `to_members` made. Raises KeyError or TypeError for anything else."""
        internal = members["internal_tag"]
        if not isinstance(members["devices"], list):
            raise TypeError("devices is a list")
        texts = [members["tag"], members["vmstate"], members["marker"], *members["devices"]]
        if not all(isinstance(text, str) for text in texts) or not isinstance(internal, str | None):
            raise TypeError("an intent's members are texts")
        return cls(
            members["tag"],
            internal,
            members["vmstate"],
            tuple(members["devices"]),
            members["marker"],
        )


def internal_tag(new_id: str, tag: str) -> str:
    """Make the tag under which a state is saved first. It shows which tag it stands for, as far as that fits.

    new_id: an id of a job that nobody else has; it begins with a letter, so the result is never taken for a numeric id.
    """
    return f"{new_id}-{tag}".encode(errors="replace")[:_NAME_LIMIT_BYTES].decode(errors="ignore")


@dataclass(frozen=True, slots=True)
class InternalTag:
    """What an internal tag tells. run: what the ids of all jobs of the run that made it begin with. tag: None if it was cut."""

    run: str
    tag: str | None


def read_internal_tag(name: str) -> InternalTag | None:
    """Read a snapshot's name; None if it is not an internal tag."""
    found = _INTERNAL.fullmatch(name)
    if found is None:
        return None
    is_whole = len(name.encode(errors="replace")) < _NAME_LIMIT_BYTES - _LONGEST_CHARACTER
    return InternalTag(found[1], found[2] if is_whole else None)

"""What a savevm that replaces a snapshot is about to do, written down before its first step.

The proxy can be killed between the steps of a replacing savevm. The intent tells the next one what was meant, so that it can
finish or report it (shim/plans/recovery.py). The driver decides where to keep it: host/intents.py has a file per VM.

The internal tag is readable on purpose. Even if every file of ours is lost, `info snapshots` shows a person which tag it stands
for, and that it is one of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from shim.qmp import JSON

__all__ = ["INTERNAL_PREFIX", "Intent", "InternalTag", "internal_tag", "read_internal_tag"]

INTERNAL_PREFIX = "hmpshim-"
# An id of the proxy or of the prompt, which has a part each for the address, the run (host/ids.py) and the job, and then the
# tag. Earlier prompts had no address in their ids.
_INTERNAL = re.compile(r"((?:hmp(?:shim|repl)-[0-9a-f]{16}|hmprepl)-[0-9a-f]{8}-)[0-9]+-(.*)", re.DOTALL)
# include/migration/snapshot.h and block/snapshot.h: a snapshot's name is a char[256] with its final NUL.
_NAME_LIMIT_BYTES = 255
# In bytes of UTF-8. A cut tag may be this much short of the limit, because the cut never splits a character.
_LONGEST_CHARACTER = 4


@dataclass(frozen=True, slots=True)
class Intent:
    """A savevm whose tag exists.

    internal_tag: the tag under which the state is saved before the old snapshot is deleted; None if the old one is deleted
    first. vmstate, devices: node names, as snapshot-save gets them. marker: the id of a job that stays in QEMU, concluded,
    until everything is done. If it is found, QEMU is still the same process.
    """

    tag: str
    internal_tag: str | None
    vmstate: str
    devices: tuple[str, ...]
    marker: str

    def to_members(self) -> dict[str, JSON]:
        """Return the members that are kept on disk, where newer and older versions read them."""
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
    """Return the tag under which a state is saved first. It contains the tag that it stands for, as far as that fits.

    new_id: a job id that nobody else has; it begins with a letter, so that QEMU never takes the result for a snapshot's id.
    """
    return f"{new_id}-{tag}".encode(errors="replace")[:_NAME_LIMIT_BYTES].decode(errors="ignore")


@dataclass(frozen=True, slots=True)
class InternalTag:
    """The parts of an internal tag. run: the prefix of all job ids of the run that made it. tag: None if it was cut."""

    run: str
    tag: str | None


def read_internal_tag(name: str) -> InternalTag | None:
    """Parse a snapshot's name; return None if it is not an internal tag."""
    found = _INTERNAL.fullmatch(name)
    if found is None:
        return None
    is_whole = len(name.encode(errors="replace")) < _NAME_LIMIT_BYTES - _LONGEST_CHARACTER
    return InternalTag(found[1], found[2] if is_whole else None)

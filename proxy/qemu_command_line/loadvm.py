"""`-loadvm TAG`, and the command line for a QEMU in which somebody else loads the snapshot.

QEMU loads it before anybody can see the machine, and then runs, even if the snapshot was saved while paused. With `-S` instead,
QEMU waits with an untouched machine, into which the snapshot can be loaded by `snapshot-load` (from QEMU 6.0) and which `cont`
runs. The guest cannot tell the difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.qemu_command_line.options import walk

__all__ = ["LoadVM", "find_loadvm"]

# The machine does not exist yet, or waits for a migration: a snapshot cannot be loaded then, and QEMU 6.0 and newer refuse the
# combination. QEMU 5.2 starts with --preconfig, and loads.
_NOT_WITH: Final = frozenset({"incoming", "preconfig"})


@dataclass(frozen=True, slots=True)
class LoadVM:
    """What is loaded at the start.

    Attributes:
        tag: of the last `-loadvm`, which takes effect.
        stays_paused: whether the machine does not run afterwards (`-S`).
        excluded_by: the option with which only QEMU itself can load; None if somebody else can load the snapshot.
        words: the command line without `-loadvm` and with `-S`; unchanged if `excluded_by` is set.
    """

    tag: str
    stays_paused: bool
    excluded_by: str | None
    words: tuple[str, ...]


def find_loadvm(words: Sequence[str]) -> LoadVM | None:
    """Find `-loadvm` in the words after the program's name. None if there is none, or the last lacks its tag."""
    options = list(walk(words))
    loads = [option for option in options if option.name == "loadvm"]
    if not loads or loads[-1].argument is None:
        return None
    tag = loads[-1].argument
    stays_paused = any(option.name == "S" for option in options)
    excluded_by = next((option.name for option in options if option.name in _NOT_WITH), None)
    if excluded_by is not None:
        return LoadVM(tag, stays_paused, excluded_by, tuple(words))
    kept = list(words)
    for option in reversed(loads):
        kept[option.at : option.end] = []
    if not stays_paused:
        kept.insert(loads[0].at, "-S")
    return LoadVM(tag, stays_paused, None, tuple(kept))

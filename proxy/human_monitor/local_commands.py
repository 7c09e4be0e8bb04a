"""The commands that are about the monitor itself, which human-monitor-command cannot know: it has a monitor for one command.

`info history` lists what this monitor remembers, and `cpu N` says which CPU its `info registers`, `x` and others mean, until
the next `cpu N`. QMP takes that CPU with each command as `cpu-index` (qapi/misc.json, human-monitor-command).
"""

import re
from typing import Final

from shim.hmp.line import HMPLine

__all__ = ["chosen_cpu", "history_listing", "is_info_history"]

# C's notations, of which QEMU takes all three. It takes expressions too: those are run, and not kept.
_NUMBER: Final = re.compile(r"(?P<hex>0[xX][0-9a-fA-F]+)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*)")
_BASES: Final = {"hex": 16, "octal": 8, "decimal": 10}


def is_info_history(line: HMPLine) -> bool:
    """Tell whether it is `info history` and QEMU would find nothing wrong with it."""
    return line.full_name == "info history" and not line.arguments


def history_listing(lines: list[bytes]) -> bytes:
    """Return what `info history` prints (monitor/hmp-cmds.c, hmp_info_history). lines: with itself as the last."""
    return b"".join(b"%d: '%s'\r\n" % numbered for numbered in enumerate(lines))


def chosen_cpu(line: HMPLine) -> int | None:
    """Return N of `cpu N` (hmp-commands.hx, args_type "index:i"); None for another line, and for what is not one number.

    Whether there is such a CPU QEMU tells: it answers the line with nothing if there is.
    """
    if line.name != "cpu":
        return None
    found = _NUMBER.fullmatch(line.arguments)
    if found is None or found.lastgroup is None:
        return None
    return int(found[0], _BASES[found.lastgroup])

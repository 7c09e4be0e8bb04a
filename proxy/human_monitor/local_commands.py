"""Commands about the monitor itself. human-monitor-command cannot run them, because it makes a new monitor for each command.

`info history` lists what this monitor remembers, and `cpu N` selects the CPU that its `info registers`, `x` and others are
about, until the next `cpu N`. QMP takes that CPU with each command as `cpu-index` (qapi/misc.json, human-monitor-command).
"""

import re
from typing import Final

from shim.hmp.line import HMPLine

__all__ = ["chosen_cpu", "history_listing", "is_info_history"]

# C's three notations, all of which QEMU accepts. It accepts expressions, too; those are run, but not kept for later commands.
_NUMBER: Final = re.compile(r"(?P<hex>0[xX][0-9a-fA-F]+)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*)")
_BASES: Final = {"hex": 16, "octal": 8, "decimal": 10}


def is_info_history(line: HMPLine) -> bool:
    """Return whether a line is an `info history` without errors."""
    return line.full_name == "info history" and not line.arguments


def history_listing(lines: list[bytes]) -> bytes:
    """Return what `info history` prints (monitor/hmp-cmds.c, hmp_info_history). lines: the last is `info history` itself."""
    return b"".join(b"%d: '%s'\r\n" % numbered for numbered in enumerate(lines))


def chosen_cpu(line: HMPLine) -> int | None:
    """Return N of `cpu N` (hmp-commands.hx, args_type "index:i"); None for another line, or if N is not a single number.

    Only QEMU knows whether that CPU exists: it then prints nothing for the line.
    """
    if line.name != "cpu":
        return None
    found = _NUMBER.fullmatch(line.arguments)
    if found is None or found.lastgroup is None:
        return None
    return int(found[0], _BASES[found.lastgroup])

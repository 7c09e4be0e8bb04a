"""The names of HMP's commands, from what its `help` prints (monitor/hmp.c, help_cmd_dump_one).

Which commands a build of QEMU has depends on its target and options, and no QMP query lists them. `help` does, one entry after
the other: a command's names, separated by `|`, its parameters, ` -- ` and an explanation. The first line of an entry begins
with a letter, its further lines with a tab, or with `[` if the parameters are long (`drive_add`).
"""

import re
from typing import Final

__all__ = ["command_names", "topic_names"]

# Names only, not what follows them: `block_job_cancel [-f] device -- stop…`, `help|? [cmd] -- …`.
_NAMES: Final = re.compile(r"(?m)^([A-Za-z]\S*) ")
_TOPIC_NAMES: Final = re.compile(r"(?m)^info ([A-Za-z]\S*) ")


def command_names(help_text: str) -> list[str]:
    """Return the names in the order of `help`, including aliases: `cont|c` (QEMU 5.2: `c|cont`) is two names.

    Before the machine is initialized (-preconfig), `help` shows only what is available then, and so does QEMU's TAB.
    """
    return _names(_NAMES, help_text)


def topic_names(help_info_text: str) -> list[str]:
    """Return the topics of `info`, from what `help info` prints."""
    return _names(_TOPIC_NAMES, help_info_text)


def _names(pattern: re.Pattern[str], text: str) -> list[str]:
    return [name for names in pattern.findall(text) for name in names.split("|")]

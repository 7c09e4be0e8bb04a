"""The names of HMP's commands, from what its `help` prints (monitor/hmp.c, help_cmd_dump_one).

A build of QEMU has the commands that its target and options call for, and no query of QMP lists them. `help` does, one entry
after the other: a command's names, divided by `|`, its parameters, ` -- ` and an explanation. The further lines of an entry
begin with a tab, or with `[` where the parameters are long (`drive_add`); the first begins with a letter.
"""

import re
from typing import Final

__all__ = ["command_names", "topic_names"]

# Names only, not what follows them: `block_job_cancel [-f] device -- stop…`, `help|? [cmd] -- …`.
_NAMES: Final = re.compile(r"(?m)^([A-Za-z]\S*) ")
_TOPIC_NAMES: Final = re.compile(r"(?m)^info ([A-Za-z]\S*) ")


def command_names(help_text: str) -> list[str]:
    """Return the names in the order of `help`, aliases too: `cont|c` (QEMU 5.2: `c|cont`) is two.

    Before the machine is initialized (-preconfig) `help` shows what is available then, and so does QEMU's TAB.
    """
    return _names(_NAMES, help_text)


def topic_names(help_info_text: str) -> list[str]:
    """Return what `info` is asked about, from `help info`."""
    return _names(_TOPIC_NAMES, help_info_text)


def _names(pattern: re.Pattern[str], text: str) -> list[str]:
    return [name for names in pattern.findall(text) for name in names.split("|")]

"""Whether an HMP command failed, told from its text: HMP has no status.

QEMU has used these forms since 5.2 at the latest (monitor/hmp.c; hmp_handle_error in monitor/hmp-cmds.c). A command that
words its own failure otherwise counts as done.
"""

import re

from shim.hmp import DelVM, HMPLine, LoadVM, SaveVM

__all__ = ["has_failed"]

_FAILURE = re.compile(r"^(Error: |unknown command: '|invalid CPU index|Try \"help [^\"]*\" for more information)", re.MULTILINE)
_SILENT_COMMANDS = (SaveVM, LoadVM, DelVM)


def has_failed(line: HMPLine, text: str) -> bool:
    """Tell from what HMP printed. savevm, loadvm and delvm print nothing if all went well."""
    if isinstance(line.command, _SILENT_COMMANDS):
        return text != ""
    return _FAILURE.search(text) is not None

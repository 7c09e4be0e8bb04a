"""A line of a script: HMP's lines go to QEMU whole, as they always did, whatever they contain."""

from typing import Any, Final

from repl.completion_data import CompletionData
from repl.lines.lines import SYNONYMS, own_name, read_line
from repl.lines.scanning import LineError
from repl.outlets.redirection import split_outlet
from shim.hmp.line import HMPLine, first_refused

__all__ = ["is_for_prompt", "outlet_advice", "read_scripted"]

_OWN_NAMES: Final = frozenset({"plan", "qmp", "events", "reconnect", "connect", "clear", "exit"})
_ADVICE: Final = "'|' and '>' work at the prompt only, and went to QEMU; in a script, use those of the shell around it"


def read_scripted(line: str) -> Any:
    """Read a line of a script. Only our own commands are checked; HMP's are left to QEMU and its errors. Raises LineError."""
    read = HMPLine.read(line)
    is_ours = own_name(line) in _OWN_NAMES or line.lstrip().startswith("{") or read.name in SYNONYMS or _is_about_qmp(read)
    if first_refused(line) is None and not is_ours:
        return read
    return read_line(line, CompletionData())


def is_for_prompt(line: str) -> bool:
    """Return whether a line only concerns how a person reads output."""
    return own_name(line) in ("watch", "timing", "pager")


def outlet_advice(line: str) -> str | None:
    """Return advice on a failed line if the prompt would send its output elsewhere; None if it would not."""
    try:
        _, outlet = split_outlet(line)
    except LineError:
        return _ADVICE
    return None if outlet is None else _ADVICE


def _is_about_qmp(line: HMPLine) -> bool:
    return line.name in ("help", "?") and line.arguments.split()[:1] == ["qmp"]

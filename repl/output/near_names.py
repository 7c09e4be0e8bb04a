"""What was probably meant by a name that QEMU has refused: the nearest of those that completion offers in its place."""

import asyncio
import re
from typing import Final

from repl.completing.answers import Answers, Looking
from repl.completing.completion import suggest
from repl.completing.names import Look
from repl.completion_data import CompletionData
from repl.lines.scanning import LineError, name_end, skip_blanks
from shim.nearest import nearest

__all__ = ["near_name", "refused_name"]

_WORD = re.compile(r'[^\s,="]+')
# How long to wait for the names of which one was probably meant.
_NAMES_S: Final = 1.0


async def near_name(line: str, told: str, facts: CompletionData, answers: Answers) -> LineError | None:
    """Return what refused_name does; if QEMU complains of a word of the line, wait a moment for the names in its place."""
    looking = Looking(answers)
    found = refused_name(line, told, facts, looking)
    if found is None and (under_way := looking.under_way):
        await asyncio.wait(under_way, timeout=_NAMES_S)
        found = refused_name(line, told, facts, answers.known)
    return found


def refused_name(line: str, told: str, facts: CompletionData, look: Look) -> LineError | None:
    """Return which name in the line is wrong, with the one that was probably meant; None if that is unknown.

    told: what QEMU printed. A complaint is one line that repeats the name.
    """
    if "\n" in told.strip():
        return None
    for found in _WORD.finditer(line, name_end(line, skip_blanks(line, 0))):
        if re.search(rf"(?<![\w-]){re.escape(found[0])}(?![\w-])", told) is None:
            continue
        names = [one.text.removesuffix("=") for one in suggest(line[: found.start()], facts, look) if one.start == 0]
        meant = "".join(nearest(found[0], names, most=1))
        if meant and found[0] not in names:
            return LineError(found.start(), f"did you mean '{meant}'?", wrong=found[0], right=meant)
    return None

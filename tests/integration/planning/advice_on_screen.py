"""What is advised, as a person reads it from the screen, and does it: nothing here knows what the program meant."""

import asyncio
import re
import shlex
from dataclasses import dataclass, field, replace
from typing import Any, Final

from shim.graph.policy import FailedLoad, Policy
from tests.integration.machines import Machine
from tests.integration.prompt.sitting import invocation
from tests.support.repl.screen import at_prompt

__all__ = ["Way", "at", "find_way", "ways_of"]

_LABEL: Final = re.compile(r" {4}(repair|or|then)(?: \(([^)]+)\))?:(?: (.*))?")
_MORE: Final = re.compile(r" {8}(\S.*)")
_EFFECT: Final = re.compile(r" {6}(\S.*)")


@dataclass(slots=True)
class Way:
    """One way out. where: what stands in the label's brackets, "" for the prompt."""

    where: str
    lines: list[str] = field(default_factory=list)
    effect: str = ""

    @property
    def words(self) -> list[str]:
        """Return the words of its only line, as a shell takes them."""
        (line,) = self.lines
        return shlex.split(line)


def ways_of(text: str) -> list[Way]:
    """Read the ways out of what `info snapshots` or `plan` shows, at whatever width."""
    ways: list[Way] = []
    for line in text.splitlines():
        if (found := _LABEL.fullmatch(line)) is not None:
            if found[1] != "then":
                ways.append(Way(found[2] or ""))
            ways[-1].lines.append(found[3] or "")
        elif (found := _MORE.fullmatch(line)) is not None and ways and not ways[-1].effect:
            ways[-1].lines[-1] = f"{ways[-1].lines[-1]} {found[1]}".strip()
        elif (found := _EFFECT.fullmatch(line)) is not None and ways:
            ways[-1].effect = f"{ways[-1].effect} {found[1]}".strip()
    return ways


def find_way(text: str, beginning: str) -> Way:
    """Return the one way whose first line begins so."""
    found = [way for way in ways_of(text) if way.lines[0].startswith(beginning)]
    assert len(found) == 1, text
    return found[0]


def at(running: Machine, *lines: str, columns: int = 80, **options: Any) -> str:
    """Type lines at a prompt of a terminal so wide, and return what the last one shows.

    As hmp-repl does by itself, it refuses a load that is known to fail.
    """
    policy = replace(options.pop("policy", Policy()), failed_load=FailedLoad.REFUSE)

    async def play() -> str:
        shown = ""
        async with at_prompt(invocation(running, asks=False, policy=policy, **options), columns=columns, rows=60) as person:
            for line in lines:
                shown = await person.runs(line)
            await person.leaves()
        return shown

    return asyncio.run(play())

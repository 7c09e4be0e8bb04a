"""`watch`: a command that is repeated, and its output redrawn in place, until Ctrl-C."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NoReturn

from repl.output.layout import Fragments
from repl.output.printed import is_longer
from repl.prompt.foreground import Foreground
from repl.prompt.terminal import Terminal
from shim.printable import harmless

__all__ = ["Repetition"]

# Besides the output: the heading, and the empty line and the toolbar below.
_OTHER_ROWS = 3


class Repetition:
    """A repeated command. Call `run` once.

    look: runs the command once, and returns what to show. name: the command as it was typed.

    Events are shown above, and keys that are pressed meanwhile go to the next line. At the end the last output stays.
    """

    def __init__(
        self, terminal: Terminal, watch: Foreground, look: Callable[[], Awaitable[Fragments]], name: str, every_s: float
    ) -> None:
        self._terminal = terminal
        self._watch = watch
        self._look = look
        self._name = name
        self._every_s = every_s
        self._seen: Fragments = []

    async def run(self) -> None:
        """Repeat until Ctrl-C. Raises LinkError, and GivenUpError on a Ctrl-C before the first output."""
        await self._watch.look(self._once(), self._name)
        looking = asyncio.create_task(self._go_on())
        try:
            await self._watch.stand_by(looking, lambda: self._seen)
        finally:
            looking.cancel()
            await asyncio.wait([looking])
            self._terminal.show(self._seen)
        if not looking.cancelled():
            looking.result()

    async def _go_on(self) -> NoReturn:
        while True:
            await asyncio.sleep(self._every_s)
            await self._once()

    async def _once(self) -> None:
        shown = await self._look()
        heading = f"every {self._every_s:g} s: {harmless(self._name)}  {datetime.now():%H:%M:%S}"
        self._seen = [("class:progress", f"{heading}\n"), *self._fitting(shown)]

    def _fitting(self, shown: Fragments) -> Fragments:
        """Cut off what does not fit on the screen, because what has scrolled away cannot be redrawn."""
        columns, room = self._terminal.columns, max(self._terminal.rows - _OTHER_ROWS, 1)
        if not is_longer(shown, columns=columns, rows=room):
            return shown
        lines = _lines_of(shown)
        fitting: Fragments = []
        count = 0
        while not is_longer([*fitting, *lines[count]], columns=columns, rows=room - 1):
            fitting += lines[count]
            count += 1
        return [*fitting, ("class:notice", f"({len(lines) - count} more of {len(lines)} lines do not fit here)\n")]


def _lines_of(fragments: Fragments) -> list[Fragments]:
    lines: list[Fragments] = [[]]
    for style, text in fragments:
        for part in text.splitlines(keepends=True):
            lines[-1].append((style, part))
            if part.endswith("\n"):
                lines.append([])
    return [line for line in lines if line]

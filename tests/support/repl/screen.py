"""What a person sees: a terminal emulator that shows what a program wrote, and a prompt driven by keys in front of it."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TextIO, cast

import pyte
from prompt_toolkit.application import create_app_session, get_app
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output

from host.audit_log.log import AuditLog
from repl.command_line import Invocation
from repl.errors import ExitStatus
from repl.prompt.app import Prompt
from repl.prompt.console import Console
from shim.client import Client
from tests.support.raw_client import DEADLINE_S

__all__ = [
    "CTRL_C",
    "CTRL_D",
    "CTRL_R",
    "ENTER",
    "ESCAPE",
    "F4",
    "RIGHT",
    "TAB",
    "UP",
    "Person",
    "Screen",
    "at_prompt",
    "pasted",
]

TAB, ENTER, ESCAPE, RIGHT, UP = "\t", "\r", "\x1b", "\x1b[C", "\x1b[A"
CTRL_C, CTRL_D, CTRL_R, F4 = "\x03", "\x04", "\x12", "\x1bOS"

_LOOK_S: Final = 0.005


class Screen:
    """A terminal's screen with what has scrolled out of it above."""

    encoding = "utf-8"

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.size = Size(rows=rows, columns=columns)
        self._screen: Any = pyte.HistoryScreen(columns, rows, history=10_000, ratio=0.5)
        self._stream: Any = pyte.Stream(self._screen)
        self._above: list[str] = []
        # All that was ever written, for what a later redraw has taken away.
        self.written = ""

    def answer_with(self, answer: Callable[[str], None]) -> None:
        """Say where answers to the program's questions go: a terminal tells where its cursor is."""
        self._screen.write_process_input = answer

    def write(self, text: str) -> int:
        self.written += text
        self._stream.feed(text)
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return -1

    def resize(self, columns: int, rows: int) -> None:
        self.size = Size(rows=rows, columns=columns)
        self._screen.resize(rows, columns)

    @property
    def lines(self) -> list[str]:
        """The lines in sight, without blanks at their ends."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """All lines, those that scrolled away too."""
        above = self._screen.history.top
        for number in range(len(self._above), len(above)):
            row = above[number]
            self._above.append("".join(row[column].data for column in range(self.size.columns)).rstrip())
        return "\n".join([*self._above, *self.lines]).rstrip()

    @property
    def last_line(self) -> str:
        """The lowest line with anything in it."""
        return next((line for line in reversed(self.lines) if line), "")

    def last_of(self, beginning: str) -> str:
        """The lowest line that begins so."""
        return next((line for line in reversed(self.lines) if line.startswith(beginning)), "")

    @property
    def has_been_coloured(self) -> bool:
        """Tell whether a foreground or background colour was ever asked for (ECMA-48, SGR)."""
        asked = [code for codes in re.findall(r"\x1b\[([\d;]*)m", self.written) for code in codes.split(";") if code]
        return any((30 <= int(code) <= 48 and code != "39") or 90 <= int(code) <= 107 for code in asked)

    def styled(self, is_so: Callable[[Any], bool]) -> str:
        """Return the characters in sight whose look (pyte's Char) is so."""
        return "".join(text for text, look in self.styles if is_so(look))

    @property
    def styles(self) -> Iterator[tuple[str, Any]]:
        """Return each character in sight with its look (pyte's Char: fg, bg, bold, underscore, reverse)."""
        for row in range(self.size.rows):
            for column in range(self.size.columns):
                char = self._screen.buffer[row][column]
                yield char.data, char

    @property
    def cursor(self) -> tuple[int, int]:
        return self._screen.cursor.y, self._screen.cursor.x


@dataclass(slots=True)
class Person:
    """Somebody at the prompt."""

    screen: Screen
    prompt: Prompt
    _keys: PipeInput
    _running: asyncio.Task[ExitStatus]

    def type(self, text: str) -> None:
        self._keys.send_text(text)

    async def runs(self, line: str) -> str:
        """Type a line, see it done, and give what came of it: all that is between the line and the next prompt."""
        shown = f"hmp> {line}".rstrip()
        before = self.screen.text.count(shown)
        self.type(line + ENTER)
        await self.until(lambda: self.screen.text.count(shown) > before and self.is_at_prompt, f"the end of {line!r}")
        return self.screen.text.rpartition("\nhmp>")[0].rpartition(shown)[2].strip("\n")

    async def sees_line(self, line: str) -> None:
        """Wait until this is what the prompt holds, up to the cursor."""
        await self.until(lambda: self.typed == line, f"the line {line!r}")

    async def sees_toolbar(self, text: str) -> None:
        """Wait until the lowest line has this."""
        await self.until(lambda: text in self.screen.last_line, f"{text!r} in the toolbar")

    async def knows_all(self) -> None:
        """Wait until the prompt has heard from QEMU all that it completes from."""
        await self.until(lambda: self.console is not None and bool(self.console.knowledge.facts.events), "QEMU's words known")

    async def sees(self, text: str, *, times: int = 1) -> str:
        """Wait until a text stands on the screen, and give all of it."""
        await self.until(lambda: self.screen.text.count(text) >= times, f"{text!r}, {times} times")
        return self.screen.text

    async def sees_match(self, pattern: str) -> re.Match[str]:
        """Wait until the screen matches."""
        await self.until(lambda: re.search(pattern, self.screen.text) is not None, pattern)
        found = re.search(pattern, self.screen.text)
        assert found is not None
        return found

    async def sees_prompt(self) -> None:
        """Wait until the cursor is behind an empty prompt."""
        await self.until(lambda: self.is_at_prompt, "an empty prompt")

    async def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if self._running.done():
                self._running.result()
                if condition():
                    return
                raise AssertionError(f"the prompt has ended; never seen: {what}\n{self.screen.text}")
            assert time.monotonic() < deadline, f"not seen: {what}\n{self.screen.text}"
            await asyncio.sleep(_LOOK_S)

    async def gives_up(self) -> None:
        """Press Ctrl-C and see an empty prompt."""
        self.type(CTRL_C)
        await self.sees_prompt()

    async def leaves(self) -> None:
        """Press Ctrl-D at the empty prompt, and see the program end."""
        self.type(CTRL_D)
        await self.until_gone()

    async def until_gone(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self._running

    @property
    def console(self) -> Console | None:
        """What is behind the prompt, as soon as it is there."""
        return self.prompt._console

    @property
    def typed(self) -> str | None:
        """What stands between the prompt and the cursor; None where there is no prompt."""
        row, column = self.screen.cursor
        line = self.screen.lines[row].ljust(column)[:column]
        return line.removeprefix("hmp> ") if line.startswith("hmp> ") else None

    @property
    def is_at_prompt(self) -> bool:
        row, _ = self.screen.cursor
        return self.typed == "" and self.screen.lines[row] == "hmp>"

    @property
    def is_there(self) -> bool:
        """Tell whether the program still runs."""
        return not self._running.done()

    def resize(self, columns: int, rows: int) -> None:
        """Make the terminal another size, and tell the program."""
        self.screen.resize(columns, rows)
        get_app()._on_resize()


def pasted(text: str) -> str:
    """Return the keys by which a terminal announces a paste."""
    return f"\x1b[200~{text}\x1b[201~"


@asynccontextmanager
async def at_prompt(
    invocation: Invocation, *, columns: int = 80, rows: int = 24, audit_log: AuditLog | None = None
) -> AsyncIterator[Person]:
    """Put somebody at a prompt that shows itself; it is gone when the context ends."""
    screen = Screen(columns, rows)
    depth = ColorDepth.from_env()
    output = Vt100_Output(cast(TextIO, screen), lambda: screen.size, term="xterm-256color", default_color_depth=depth)
    with create_pipe_input() as keys, create_app_session(input=keys, output=output):
        screen.answer_with(keys.send_text)
        prompt = Prompt(invocation, Client(pid=1, uid=2, exe="/usr/bin/hmp-repl"), audit_log)
        running = asyncio.create_task(prompt.run())
        person = Person(screen, prompt, keys, running)
        try:
            await person.sees_prompt()
            yield person
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

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
from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from host.audit_log import AuditLog
from repl.app import Prompt
from repl.command_line import Invocation
from shim.client import Client
from tests.raw_client import DEADLINE_S

__all__ = ["CTRL_C", "CTRL_D", "CTRL_R", "ENTER", "ESCAPE", "F4", "RIGHT", "TAB", "Person", "Screen", "at_prompt"]

TAB, ENTER, ESCAPE, RIGHT = "\t", "\r", "\x1b", "\x1b[C"
CTRL_C, CTRL_D, CTRL_R, F4 = "\x03", "\x04", "\x12", "\x1bOS"

_LOOK_S: Final = 0.005


class Screen:
    """A terminal's screen with what has scrolled out of it above."""

    encoding = "utf-8"

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.size = Size(rows=rows, columns=columns)
        self._screen: Any = pyte.HistoryScreen(columns, rows, history=10_000, ratio=0.5)
        self._stream: Any = pyte.Stream(self._screen)
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

    @property
    def lines(self) -> list[str]:
        """The lines in sight, without blanks at their ends."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """All lines, those that scrolled away too."""
        above = ["".join(row[column].data for column in range(self.size.columns)).rstrip() for row in self._screen.history.top]
        return "\n".join([*above, *self.lines]).rstrip()

    @property
    def styles(self) -> Iterator[tuple[str, Any]]:
        """Give each character in sight with its look (pyte's Char: fg, bg, bold, underscore, reverse)."""
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
    _running: asyncio.Task[None]

    def type(self, text: str) -> None:
        self._keys.send_text(text)

    async def enter(self, line: str) -> None:
        """Type a line and see it accepted: the prompt is below it."""
        self.type(line + ENTER)

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
        await self.until(lambda: self._current_line == "hmp>", "an empty prompt")

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if self._running.done():
                self._running.result()
                if condition():
                    return
                raise AssertionError(f"the prompt has ended; never seen: {what}\n{self.screen.text}")
            assert time.monotonic() < deadline, f"not seen: {what}\n{self.screen.text}"
            await asyncio.sleep(_LOOK_S)

    async def leaves(self) -> None:
        """Press Ctrl-D at the empty prompt, and see the program end."""
        self.type(CTRL_D)
        await self.until_gone()

    async def until_gone(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self._running

    @property
    def _current_line(self) -> str:
        row, column = self.screen.cursor
        return self.screen.lines[row] if column == len("hmp> ") else ""


@asynccontextmanager
async def at_prompt(
    invocation: Invocation, *, columns: int = 80, rows: int = 24, audit_log: AuditLog | None = None
) -> AsyncIterator[Person]:
    """Put somebody at a prompt that shows itself; it is gone when the context ends."""
    screen = Screen(columns, rows)
    output = Vt100_Output(cast(TextIO, screen), lambda: screen.size, term="xterm-256color")
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

"""A terminal with a screen and a keyboard."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TextIO, cast

from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from repl.prompt.terminal import Terminal
from tests.support.raw_client import DEADLINE_S
from tests.support.repl.screen import Screen

__all__ = ["Desk", "at_desk"]


@dataclass
class Desk:
    """A terminal with its screen and keyboard, and nothing else."""

    terminal: Terminal
    screen: Screen
    keyboard: PipeInput

    async def sees(self, text: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while text not in self.screen.text:  # noqa: ASYNC110 - a screen does not tell
                await asyncio.sleep(0.002)

    async def next_line(self) -> str:
        """Return the line that is entered at a prompt."""
        session: PromptSession[str] = PromptSession("> ")
        async with asyncio.timeout(DEADLINE_S):
            return await session.prompt_async()


@asynccontextmanager
async def at_desk(terminal: Terminal) -> AsyncIterator[Desk]:
    screen = Screen(80, 24)
    output = Vt100_Output(cast(TextIO, screen), lambda: screen.size, term="xterm-256color")
    with create_pipe_input() as keyboard, create_app_session(input=keyboard, output=output):
        screen.answer_with(keyboard.send_text)
        yield Desk(terminal, screen, keyboard)

"""A line that is edited with the keys of the prompt, and no prompt around it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from repl.prompt.editor.editing import keys
from tests.support.raw_client import DEADLINE_S

__all__ = ["Slow", "edited", "until"]


class Slow(Completer):
    """It has its completions when it is told so. at_hand: some of them are known before."""

    def __init__(self, *texts: str, at_hand: bool = False) -> None:
        self.texts = texts
        self.may_answer = asyncio.Event()
        self.asked = 0
        self._is_at_hand = at_hand

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> list[Completion]:
        return self._found(document) if self._is_at_hand else []

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        self.asked += 1
        await self.may_answer.wait()
        for completion in self._found(document):
            yield completion

    def _found(self, document: Document) -> list[Completion]:
        return [Completion(text, -len(document.text)) for text in self.texts if text.startswith(document.text)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - prompt_toolkit does not tell
            await asyncio.sleep(0.002)


async def edited(
    completer: Slow,
    scene: Callable[[PipeInput, PromptSession[str]], Awaitable[None]],
    *,
    completes_while_typing: bool = True,
    **options: Any,
) -> str:
    """Return what was entered in a scene. options: of `keys`."""
    with create_pipe_input() as keyboard, create_app_session(input=keyboard, output=DummyOutput()):
        session: PromptSession[str] = PromptSession(
            completer=completer, complete_while_typing=completes_while_typing, key_bindings=keys(**options)
        )
        prompting = asyncio.create_task(session.prompt_async())
        await until(lambda: session.app.is_running)
        await scene(keyboard, session)
        return await prompting

"""The line editor's own parts: F4, Tab, what a correction fills in, and where a line goes on."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest
from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from repl.prompt.editor import editing
from repl.prompt.editor.editing import editing_mode_name, keys, menu_rows
from tests.support.raw_client import DEADLINE_S
from tests.support.repl.screen import ENTER, ESCAPE, F4, RIGHT, TAB

# -- keys -----------------------------------------------------------------------------------------------------------------


class Slow(Completer):
    """It has its completions when it is told so."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.may_answer = asyncio.Event()
        self.asked = 0

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> list[Completion]:
        return [Completion(text, -len(document.text)) for text in self.texts if text.startswith(document.text)]

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        self.asked += 1
        await self.may_answer.wait()
        for completion in self.get_completions(document, complete_event):
            yield completion


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - prompt_toolkit does not tell
            await asyncio.sleep(0.002)


async def edited(
    completer: Slow,
    scene: Callable[[PipeInput, PromptSession[str]], Awaitable[None]],
    correction: Callable[[], str | None] = lambda: None,
) -> str:
    """Return what was entered in a scene."""
    with create_pipe_input() as keyboard, create_app_session(input=keyboard, output=DummyOutput()):
        session: PromptSession[str] = PromptSession(
            completer=completer, complete_while_typing=True, key_bindings=keys(correction)
        )
        prompting = asyncio.create_task(session.prompt_async())
        await until(lambda: session.app.is_running)
        await scene(keyboard, session)
        return await prompting


def is_tab_kept(session: PromptSession[str]) -> bool:
    """Tell whether a Tab waits for the completions that are looked for."""
    waiting = session.default_buffer.on_completions_changed._handlers
    return any(handler.__module__ == editing.__name__ for handler in waiting)


def test_tab_before_the_completions_are_there_is_not_lost() -> None:
    async def run() -> str:
        completer = Slow("savevm")

        async def scene(keyboard: PipeInput, session: PromptSession[str]) -> None:
            keyboard.send_text("sav")
            await until(lambda: completer.asked == 1)
            keyboard.send_text(TAB)
            await until(lambda: is_tab_kept(session))
            assert session.default_buffer.text == "sav"
            completer.may_answer.set()
            await until(lambda: session.default_buffer.text == "savevm")
            assert not is_tab_kept(session)
            keyboard.send_text(ENTER)

        return await edited(completer, scene)

    assert asyncio.run(run()) == "savevm"


def test_tab_goes_through_the_completions_that_are_there() -> None:
    async def run() -> str:
        completer = Slow("savevm", "screendump")
        completer.may_answer.set()

        async def scene(keyboard: PipeInput, session: PromptSession[str]) -> None:
            buffer = session.default_buffer
            keyboard.send_text("s")
            await until(lambda: buffer.complete_state is not None and len(buffer.complete_state.completions) == 2)
            keyboard.send_text(TAB)
            await until(lambda: buffer.text == "savevm")
            keyboard.send_text(TAB)
            await until(lambda: buffer.text == "screendump")
            keyboard.send_text(ENTER)

        return await edited(completer, scene)

    assert asyncio.run(run()) == "screendump"


def test_typing_goes_on_while_completions_are_looked_for() -> None:
    """A Tab that was pressed meanwhile is then forgotten."""

    async def run() -> str:
        completer = Slow("savevm")

        async def scene(keyboard: PipeInput, session: PromptSession[str]) -> None:
            keyboard.send_text("sa")
            await until(lambda: completer.asked == 1)
            keyboard.send_text(TAB + "ve")
            await until(lambda: session.default_buffer.text == "save")
            keyboard.send_text("d")
            await until(lambda: session.default_buffer.text == "saved")
            completer.may_answer.set()
            keyboard.send_text(ENTER)

        return await edited(completer, scene)

    assert asyncio.run(run()) == "saved"


@pytest.mark.parametrize(("found", "more"), [(["savevm"], "x"), ([], "")], ids=["typing goes on", "nothing found"])
def test_tab_that_was_kept_is_forgotten(found: list[str], more: str) -> None:
    async def run() -> str:
        completer = Slow(*found)

        async def scene(keyboard: PipeInput, session: PromptSession[str]) -> None:
            keyboard.send_text("sav")
            await until(lambda: completer.asked == 1)
            keyboard.send_text(TAB)
            await until(lambda: is_tab_kept(session))
            keyboard.send_text(more)
            await until(lambda: session.default_buffer.text == "sav" + more)
            completer.may_answer.set()
            await until(lambda: not is_tab_kept(session))
            keyboard.send_text(ENTER)

        return await edited(completer, scene)

    assert asyncio.run(run()) == "sav" + more


def test_tab_and_the_end_of_the_line_at_once() -> None:
    async def run() -> str:
        completer = Slow("savevm")

        async def scene(keyboard: PipeInput, session: PromptSession[str]) -> None:
            keyboard.send_text("sav" + TAB + ENTER)

        return await edited(completer, scene)

    assert asyncio.run(run()) == "sav"


def test_tab_without_anything_to_complete() -> None:
    async def run() -> str:
        completer = Slow()
        completer.may_answer.set()

        async def scene(keyboard: PipeInput, session: PromptSession[str]) -> None:
            keyboard.send_text("x")
            await until(lambda: completer.asked == 1 and session.default_buffer.complete_state is None)
            keyboard.send_text(TAB)
            await until(lambda: completer.asked == 2 and session.default_buffer.complete_state is None)
            keyboard.send_text(ENTER)

        return await edited(completer, scene)

    assert asyncio.run(run()) == "x"


@pytest.mark.parametrize("key", [TAB, RIGHT, "\x05"])
@pytest.mark.parametrize(("typed", "entered"), [("", "savevm t"), ("x", "x")])
def test_correction_is_filled_in_on_the_empty_line_only(key: str, typed: str, entered: str) -> None:
    async def scene(keyboard: PipeInput, session: PromptSession[str]) -> None:
        keyboard.send_text(typed + key)
        await until(lambda: session.default_buffer.text == entered)
        keyboard.send_text(ENTER)

    assert asyncio.run(edited(Slow(), scene, lambda: "savevm t")) == entered


def test_f4_changes_the_editing_mode_and_its_name() -> None:
    async def run() -> list[str]:
        names: list[str] = []

        async def scene(keyboard: PipeInput, session: PromptSession[str]) -> None:
            def note(expected: EditingMode) -> Callable[[], bool]:
                return lambda: session.app.editing_mode is expected

            def name() -> str:
                assert session.app.context is not None
                return session.app.context.copy().run(editing_mode_name)

            names.append(name())
            keyboard.send_text(F4)
            await until(note(EditingMode.VI))
            names.append(name())
            keyboard.send_text(ESCAPE)
            await until(lambda: name() == "vi navigation")
            keyboard.send_text(F4)
            await until(note(EditingMode.EMACS))
            names.append(name())
            keyboard.send_text(ENTER)

        await edited(Slow(), scene)
        return names

    assert asyncio.run(run()) == ["", "vi insert", ""]


@pytest.mark.parametrize(("rows", "menu"), [(1, 0), (2, 0), (3, 1), (5, 1), (10, 3), (24, 8), (100, 8)])
def test_menu_leaves_room_for_what_was_answered(rows: int, menu: int) -> None:
    assert menu_rows(rows) == menu

"""Tab, however fast or slowly keys and completions come."""

import asyncio
from typing import Final

import pytest
from prompt_toolkit import PromptSession
from prompt_toolkit.input import PipeInput

from repl.prompt.editor import tab
from tests.support.repl.edited_line import Slow, edited, until
from tests.support.repl.screen import ENTER, TAB, pasted

BACKSPACE: Final = "\x7f"


def is_tab_kept(session: PromptSession[str]) -> bool:
    """Tell whether a Tab waits for the completions that are looked for."""
    waiting = session.default_buffer.on_completions_changed._handlers
    return any(handler.__module__ == tab.__name__ for handler in waiting)


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


@pytest.mark.parametrize(
    ("typed", "texts", "entered"),
    [
        ("sav" + TAB, ["savevm"], "savevm"),
        ("sav" + TAB + " t", ["savevm"], "savevm t"),
        ("s" + TAB + "x", ["savevm", "screendump"], "savevmx"),
        ("s" + TAB + TAB + "x", ["savevm", "screendump"], "screendumpx"),
        (pasted("s") + TAB + "x", ["savevm", "screendump"], "savevmx"),
        ("savx" + BACKSPACE + TAB + " t", ["savevm"], "savevm t"),
        ("sx" + BACKSPACE + TAB + "1", ["set1", "set2"], "set1"),
        (TAB + "x", ["savevm", "loadvm"], "x"),
        (TAB + " x", ["savevm"], "savevm x"),
        ("savevm" + TAB + " x", ["savevm"], "savevm x"),
        ("x" + TAB + "y", ["savevm"], "xy"),
    ],
)
def test_keys_after_a_tab_see_what_it_completed_however_fast_they_come(typed: str, texts: list[str], entered: str) -> None:
    async def scene(keyboard: PipeInput, session: PromptSession[str]) -> None:
        keyboard.send_text(typed + ENTER)

    async def run() -> str:
        return await edited(Slow(*texts, at_hand=True), scene)

    assert asyncio.run(run()) == entered


@pytest.mark.parametrize("completes_while_typing", [True, False])
def test_key_after_a_tab_that_looks_for_completions_has_it_done_with_what_is_known(completes_while_typing: bool) -> None:
    async def run() -> str:
        completer = Slow("savevm", at_hand=True)

        async def scene(keyboard: PipeInput, session: PromptSession[str]) -> None:
            keyboard.send_text("sav" + TAB)
            await until(lambda: completer.asked == 1)
            assert session.default_buffer.text == "sav"
            keyboard.send_text(" t" + ENTER)

        return await edited(completer, scene, completes_while_typing=completes_while_typing)

    assert asyncio.run(run()) == "savevm t"


def test_menu_that_a_tab_opened_leaves_the_next_key_alone() -> None:
    async def run() -> str:
        completer = Slow("savevm", "loadvm", at_hand=True)
        completer.may_answer.set()

        async def scene(keyboard: PipeInput, session: PromptSession[str]) -> None:
            keyboard.send_text(TAB)
            buffer = session.default_buffer
            await until(lambda: buffer.complete_state is not None and len(buffer.complete_state.completions) == 2)
            keyboard.send_text("x" + ENTER)

        return await edited(completer, scene)

    assert asyncio.run(run()) == "x"


def test_tab_is_forgotten_where_nothing_is_known_when_the_line_is_entered() -> None:
    async def scene(keyboard: PipeInput, session: PromptSession[str]) -> None:
        keyboard.send_text("sav" + TAB + ENTER)

    async def run() -> str:
        return await edited(Slow("savevm"), scene)

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

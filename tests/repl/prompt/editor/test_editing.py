"""The line editor's own parts: F4, Ctrl-Z, what a correction fills in, and where a line goes on."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import pytest
from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.input import PipeInput

from repl.prompt.editor.editing import editing_mode_name, menu_rows
from tests.support.repl.edited_line import Slow, edited, until
from tests.support.repl.screen import CTRL_C, CTRL_R, ENTER, ESCAPE, F4, RIGHT, TAB

CTRL_G, CTRL_Z, CTRL_Q = "\x07", "\x1a", "\x11"
# Those end the line, or take the next key for something.
OTHERWISE_KNOWN: Final = "\n\r\x03\x04\x0f\x11\x12\x13\x18\x1a\x1b\x1d"
C0: Final = "".join(char for char in map(chr, range(0x20)) if char not in OTHERWISE_KNOWN)
C1: Final = "".join(map(chr, range(0x7F, 0xA0)))

# -- keys -----------------------------------------------------------------------------------------------------------------


def entered(typed: str, **options: Any) -> str:
    async def scene(keyboard: PipeInput, session: PromptSession[str]) -> None:
        keyboard.send_text(typed + ENTER)

    async def run() -> str:
        return await edited(Slow(), scene, **options)

    return asyncio.run(run())


@pytest.mark.parametrize("may_suspend", [True, False])
def test_ctrl_z_suspends_where_it_may_and_is_never_text(monkeypatch: pytest.MonkeyPatch, may_suspend: bool) -> None:
    suspended: list[object] = []
    monkeypatch.setattr(Application, "suspend_to_background", lambda app: suspended.append(app))
    assert entered("info" + CTRL_Z + " name", may_suspend=lambda: may_suspend) == "info name"
    assert len(suspended) == may_suspend


@pytest.mark.parametrize("typed", [C0, C1], ids=["C0", "C1"])
def test_no_control_character_is_text(typed: str) -> None:
    assert entered("ab" + typed + "c").isprintable()


def test_control_character_that_is_quoted_is_text() -> None:
    assert entered("ab" + CTRL_Q + "\x1a") == "ab\x1a"


def test_other_characters_are_text() -> None:
    assert entered("ä\u20ac\U0001f600\u0301") == "ä\u20ac\U0001f600\u0301"


@pytest.mark.parametrize("key", [TAB, RIGHT, "\x05"])
@pytest.mark.parametrize(("typed", "entered"), [("", "savevm t"), ("x", "x")])
def test_correction_is_filled_in_on_the_empty_line_only(key: str, typed: str, entered: str) -> None:
    async def scene(keyboard: PipeInput, session: PromptSession[str]) -> None:
        keyboard.send_text(typed + key)
        await until(lambda: session.default_buffer.text == entered)
        keyboard.send_text(ENTER)

    assert asyncio.run(edited(Slow(), scene, correction=lambda: "savevm t")) == entered


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


@pytest.mark.parametrize("leaving", [CTRL_C, CTRL_G, ENTER])
def test_f4_begins_vi_where_something_can_be_typed_also_after_a_search(leaving: str) -> None:
    async def run() -> list[str]:
        names: list[str] = []

        async def scene(keyboard: PipeInput, session: PromptSession[str]) -> None:
            keyboard.send_text(CTRL_R)
            await until(lambda: session.app.layout.is_searching)
            keyboard.send_text(leaving)
            await until(lambda: not session.app.layout.is_searching)
            keyboard.send_text(F4)
            await until(lambda: session.app.editing_mode is EditingMode.VI)
            assert session.app.context is not None
            names.append(session.app.context.copy().run(editing_mode_name))
            keyboard.send_text(ENTER)

        await edited(Slow(), scene)
        return names

    assert asyncio.run(run()) == ["vi insert"]


@pytest.mark.parametrize(("rows", "menu"), [(1, 0), (2, 0), (3, 1), (5, 1), (10, 3), (24, 8), (100, 8)])
def test_menu_leaves_room_for_what_was_answered(rows: int, menu: int) -> None:
    assert menu_rows(rows) == menu

"""Keys with another meaning, and the shape of the cursor."""

import asyncio
from typing import Final, TextIO, cast

import pytest
from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from prompt_toolkit.output.vt100 import Vt100_Output

from repl.prompt.editor.editing import keys
from repl.prompt.editor.own_keys import CursorOfVi, HeldLine
from repl.settings.values import Enter, Insert, KeyBinding, Perform
from tests.support.raw_client import DEADLINE_S
from tests.support.repl.screen import ENTER, ESCAPE, F4, Screen

F5: Final = "\x1b[15~"
BLOCK, BEAM, UNDERLINE, OWN = "\x1b[2 q", "\x1b[6 q", "\x1b[4 q", "\x1b[0 q"


def entered(typed: str, *wanted: KeyBinding) -> tuple[str, str]:
    """Return the line that is entered by these keys, and what is held for the next one."""

    async def run() -> tuple[str, str]:
        held = HeldLine()
        with create_pipe_input() as keyboard, create_app_session(input=keyboard, output=DummyOutput()):
            session: PromptSession[str] = PromptSession(key_bindings=keys(wanted=wanted, held=held))
            session.app.ttimeoutlen = 0.001
            keyboard.send_text(typed)
            async with asyncio.timeout(DEADLINE_S):
                line = await session.prompt_async()
        return line, held.take()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("typed", "binding", "line"),
    [
        (f"say {F5}me{ENTER}", KeyBinding(("f5",), Insert("it to ")), "say it to me"),
        (f"a b{F5}{ENTER}", KeyBinding(("f5",), Perform("unix-word-rubout")), "a "),
        (f"a\x17b{ENTER}", KeyBinding(("c-w",), Perform("nothing")), "ab"),
        # Without a wait for a second key, though prompt_toolkit has keys that begin so.
        (f"a\x18{ENTER}", KeyBinding(("c-x",), Insert("b")), "ab"),
        (f"a\x18s{ENTER}", KeyBinding(("c-x", "s"), Insert("b")), "ab"),
        (f"a\x1bz{ENTER}", KeyBinding(("escape", "z"), Insert("b")), "ab"),
    ],
)
def test_key_does_what_it_is_told_to(typed: str, binding: KeyBinding, line: str) -> None:
    assert entered(typed, binding)[0] == line


def test_key_enters_a_line_and_what_was_begun_is_held() -> None:
    assert entered(f"savevm t{F5}", KeyBinding(("f5",), Enter("info status"))) == ("info status", "savevm t")


def test_line_is_held_once() -> None:
    held = HeldLine("a")
    assert (held.take(), held.take()) == ("a", "")


def test_key_means_nothing_in_a_search() -> None:
    assert entered(f"\x12x{F5}\x07a{ENTER}", KeyBinding(("f5",), Insert("b")))[0] == "a"


def steps(*typed_and_told: tuple[str, str], is_vi: bool = False, wanted: tuple[KeyBinding, ...] = ()) -> str:
    """Press keys, and wait after each until the terminal is told this, and no sooner. Return all that it was told."""

    async def run() -> str:
        screen = Screen(80, 24)
        output = Vt100_Output(cast(TextIO, screen), lambda: screen.size, term="xterm-256color")
        with create_pipe_input() as keyboard, create_app_session(input=keyboard, output=output):
            screen.answer_with(keyboard.send_text)
            session: PromptSession[str] = PromptSession(key_bindings=keys(wanted=wanted), vi_mode=is_vi, cursor=CursorOfVi())
            session.app.ttimeoutlen = 0.001
            prompting = asyncio.create_task(session.prompt_async())
            for typed, told in typed_and_told:
                before = len(screen.written)
                keyboard.send_text(typed)
                async with asyncio.timeout(DEADLINE_S):
                    while told not in screen.written[before:]:  # noqa: ASYNC110 - a screen does not tell
                        await asyncio.sleep(0.002)
            keyboard.send_text(ENTER)
            await prompting
        return screen.written

    return asyncio.run(run())


def test_cursor_shows_the_mode_of_vi() -> None:
    steps(("a", BEAM), (ESCAPE, BLOCK), ("r", UNDERLINE), ("c", BLOCK), ("i", BEAM), is_vi=True)


def test_cursor_is_left_alone_with_the_keys_of_emacs() -> None:
    written = steps(("a", "a"))
    assert [shape for shape in (BLOCK, BEAM, UNDERLINE) if shape in written] == []


def test_cursor_is_given_back_where_the_keys_change_to_those_of_emacs() -> None:
    steps((F4, BEAM), (F4, OWN), (F4, BEAM))


def test_another_key_switches_too() -> None:
    steps((F5, BEAM), (F5, OWN), wanted=(KeyBinding(("f5",), Perform("switch-editing-mode")),))

"""The parts of the line editor that know nothing about the VM: its keys, its menu, and where a line continues."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from prompt_toolkit.application import Application, get_app
from prompt_toolkit.buffer import Buffer, CompletionState
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition, emacs_insert_mode, vi_insert_mode
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from repl.prompt.editor.own_keys import HeldLine, bind, switch_editing_mode
from repl.settings.values import KeyBinding

__all__ = ["continuation", "editing_mode_name", "goes_on", "keys", "menu_rows"]

_CONTINUATION = "...> "

# The rows that are kept free for the menu below the prompt.
_MOST_MENU_ROWS = 8


def keys(
    correction: Callable[[], str | None] = lambda: None,
    wanted: Sequence[KeyBinding] = (),
    held: HeldLine | None = None,
) -> KeyBindings:
    """Return the keys besides prompt_toolkit's own: F4 switches between emacs and vi, and no Tab is lost.

    correction: returns what Tab, Right and Ctrl-E put on an empty line, without entering it; None if there is no correction.
    wanted: the person's own keys. held: keeps the unfinished line when one of these keys enters another line.
    """
    bindings = KeyBindings()
    may_correct = Condition(lambda: not get_app().current_buffer.text and correction() is not None)

    @bindings.add("right", filter=(vi_insert_mode | emacs_insert_mode) & may_correct)
    @bindings.add("c-e", filter=(vi_insert_mode | emacs_insert_mode) & may_correct)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text(correction() or "")

    @bindings.add("tab", filter=vi_insert_mode | emacs_insert_mode)
    def _(event: KeyPressEvent) -> None:
        if may_correct():
            event.current_buffer.insert_text(correction() or "")
            return
        # After the completion that the keys just before have started.
        asyncio.get_running_loop().call_soon(_complete, event.app, event.current_buffer)

    bindings.add("f4")(switch_editing_mode)
    bind(bindings, wanted, held or HeldLine())
    return bindings


def _complete(app: Application[Any], buffer: Buffer) -> None:
    """Complete now or, if a completion is under way, when it is done: until then prompt_toolkit would drop the key."""
    begun = buffer.complete_state
    if app.is_done:
        return  # the line was entered or given up at once
    if begun is None:
        buffer.start_completion(insert_common_part=True)
    elif begun.completions:
        buffer.complete_next()
    else:
        _complete_when_found(buffer, begun)


def _complete_when_found(buffer: Buffer, begun: CompletionState) -> None:
    def complete(_: Buffer) -> None:
        if buffer.complete_state is begun and not begun.completions:
            return
        buffer.on_completions_changed -= complete
        if buffer.complete_state is begun:
            buffer.complete_next()

    buffer.on_completions_changed += complete


def menu_rows(rows: int) -> int:
    """Return how many rows to keep free for the menu: few on a low terminal, where they would push the output off screen."""
    return min(_MOST_MENU_ROWS, rows // 3)


def editing_mode_name() -> str:
    """Return the editing mode if it matters: vi and which of its modes; "" for emacs."""
    app = get_app()
    if app.editing_mode is not EditingMode.VI:
        return ""
    return f"vi {app.vi_state.input_mode.value.removeprefix('vi-')}"


def goes_on() -> bool:
    """Return whether Enter begins another row, because the line is unfinished JSON."""
    return _is_unfinished(get_app().current_buffer.text)


def continuation(width: int, row: int, wraps: int) -> str:
    """Return what precedes a row below the first, for prompt_toolkit's `prompt_continuation`: a prompt if JSON continues."""
    rows = get_app().current_buffer.text.split("\n")
    return _CONTINUATION if wraps == 0 and _is_unfinished("\n".join(rows[:row])) else ""


def _is_unfinished(text: str) -> bool:
    if "{" not in text:
        return False
    from repl.lines.arguments import is_unfinished, whole_lines  # here, because the prompt is there sooner without it

    return is_unfinished(whole_lines(text)[-1])

"""The line editor's parts that know nothing of the VM: its keys, its menu, and where a line goes on."""

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
    """Return the keys beside prompt_toolkit's own: F4 changes between emacs and vi, and no Tab is lost.

    correction: what Tab, Right and Ctrl-E put on an empty line; None where there is nothing to mend. It is not entered.
    wanted: the person's own keys. held: where the line is kept that was begun when one of them enters another.
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
        # Behind the completing that what was typed just before has begun.
        asyncio.get_running_loop().call_soon(_complete, event.app, event.current_buffer)

    bindings.add("f4")(switch_editing_mode)
    bind(bindings, wanted, held or HeldLine())
    return bindings


def _complete(app: Application[Any], buffer: Buffer) -> None:
    """Complete, or do it when the completions come that are looked for: prompt_toolkit would drop the key meanwhile."""
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
    """Return how many rows to keep free for the menu: on a low terminal they would hide what was answered, or all."""
    return min(_MOST_MENU_ROWS, rows // 3)


def editing_mode_name() -> str:
    """Name the mode where it has to be known: vi, and which of its modes."""
    app = get_app()
    if app.editing_mode is not EditingMode.VI:
        return ""
    return f"vi {app.vi_state.input_mode.value.removeprefix('vi-')}"


def goes_on() -> bool:
    """Tell whether Enter begins another row, because the line is JSON that is not whole yet."""
    return _is_unfinished(get_app().current_buffer.text)


def continuation(width: int, row: int, wraps: int) -> str:
    """Return what stands before a row below the first: a prompt where JSON goes on. prompt_toolkit's `prompt_continuation`."""
    rows = get_app().current_buffer.text.split("\n")
    return _CONTINUATION if wraps == 0 and _is_unfinished("\n".join(rows[:row])) else ""


def _is_unfinished(text: str) -> bool:
    if "{" not in text:
        return False
    from repl.lines.arguments import is_unfinished, whole_lines  # here, because the prompt is there sooner without it

    return is_unfinished(whole_lines(text)[-1])

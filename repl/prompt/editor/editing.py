"""The parts of the line editor that know nothing about the VM: its keys, its menu, and where a line continues."""

import unicodedata
from collections.abc import Callable, Sequence

from prompt_toolkit.application import get_app
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition, emacs_insert_mode, vi_insert_mode
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.bindings.named_commands import get_by_name
from prompt_toolkit.keys import Keys

from repl.prompt.editor.own_keys import HeldLine, bind, switch_editing_mode
from repl.prompt.editor.tab import Tab
from repl.settings.values import KeyBinding

__all__ = ["continuation", "editing_mode_name", "goes_on", "keys", "menu_rows"]

_CONTINUATION = "...> "

# The rows that are kept free for the menu below the prompt.
_MOST_MENU_ROWS = 8


def keys(
    correction: Callable[[], str | None] = lambda: None,
    wanted: Sequence[KeyBinding] = (),
    held: HeldLine | None = None,
    may_suspend: Callable[[], bool] = lambda: True,
) -> KeyBindings:
    """Return the keys beside prompt_toolkit's own: F4 changes between emacs and vi, Ctrl-Z is a shell's, and no Tab is lost.

    correction: what Tab, Right and Ctrl-E put on an empty line; None where there is nothing to mend. It is not entered.
    wanted: the person's own keys. held: where the line is kept that was begun when one of them enters another.
    may_suspend: asked at Ctrl-Z, and says it where it may not be.
    """
    bindings, tab = KeyBindings(), Tab()
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
        tab.press(event)

    bindings.add(Keys.Any, filter=vi_insert_mode | emacs_insert_mode, save_before=lambda event: not event.is_repeat)(_insert)

    @bindings.add("c-z")
    def _(event: KeyPressEvent) -> None:
        if may_suspend():
            event.app.suspend_to_background()

    bindings.add("f4")(switch_editing_mode)
    bind(bindings, wanted, held or HeldLine())
    return bindings


def _insert(event: KeyPressEvent) -> None:
    """Insert what was typed, but no control character: prompt_toolkit takes those of C1 (U+0080 to U+009F) for text."""
    if unicodedata.category(event.data[:1] or "\0") != "Cc":
        get_by_name("self-insert").call(event)


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

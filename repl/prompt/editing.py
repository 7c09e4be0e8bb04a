"""The line editor's parts that know nothing of the VM: history and keys."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prompt_toolkit.application import Application, get_app
from prompt_toolkit.buffer import Buffer, CompletionState
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition, emacs_insert_mode, vi_insert_mode
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

__all__ = ["editing_mode_name", "history_in", "keys", "menu_rows"]

# The rows that are kept free for the menu below the prompt.
_MOST_MENU_ROWS = 8


class _DiscreetHistory(FileHistory):
    """A history that forgets lines that begin with a blank: they may hold a password (`set_password`, `object_add secret`)."""

    def store_string(self, string: str) -> None:
        if not string[:1].isspace():
            super().store_string(string)


def history_in(path: Path | None) -> tuple[History, str | None]:
    """Return the history kept in a file, readable for its owner only, and why it cannot be kept, if so. None keeps none."""
    if path is None:
        return InMemoryHistory(), None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        return InMemoryHistory(), f"the history is not kept: {path}: {exc.strerror}"
    return _DiscreetHistory(path), None


def keys(correction: Callable[[], str | None] = lambda: None) -> KeyBindings:
    """Return the keys beside prompt_toolkit's own: F4 changes between emacs and vi, and no Tab is lost.

    correction: what Tab, Right and Ctrl-E put on an empty line; None where there is nothing to mend. It is not entered.
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

    @bindings.add("f4")
    def _(event: KeyPressEvent) -> None:
        is_vi = event.app.editing_mode is EditingMode.VI
        event.app.editing_mode = EditingMode.EMACS if is_vi else EditingMode.VI

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

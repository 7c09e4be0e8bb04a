"""The keys to which a person has given another meaning, as bindings of the line editor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from prompt_toolkit.application import Application
from prompt_toolkit.cursor_shapes import CursorShape, CursorShapeConfig, ModalCursorShapeConfig
from prompt_toolkit.enums import DEFAULT_BUFFER, EditingMode
from prompt_toolkit.filters import has_focus
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.bindings.named_commands import get_by_name
from prompt_toolkit.key_binding.vi_state import InputMode

from repl.settings.values import Enter, Insert, KeyBinding, Perform

__all__ = ["CursorOfVi", "HeldLine", "bind", "switch_editing_mode"]


@dataclass(slots=True)
class HeldLine:
    """The line at the prompt when a key entered a line of its own. It comes back at the next prompt."""

    text: str = ""

    def take(self) -> str:
        text, self.text = self.text, ""
        return text


def bind(bindings: KeyBindings, wanted: Sequence[KeyBinding], held: HeldLine) -> None:
    """Bind the person's keys, which take precedence over all others, except in a search."""
    at_line = has_focus(DEFAULT_BUFFER)
    for one in wanted:
        # Eager, because a single key must not wait for a second one, even if one of prompt_toolkit's sequences begins with it.
        add = bindings.add(*one.keys, filter=at_line, eager=len(one.keys) == 1)
        match one.action:
            case Enter(line):
                add(lambda event, line=line: _enter(event, line, held))
            case Insert(text):
                add(lambda event, text=text: event.current_buffer.insert_text(text))
            case Perform("switch-editing-mode"):
                add(switch_editing_mode)
            case Perform("nothing"):
                add(lambda event: None)
            case Perform(function):
                add(get_by_name(function))
            case _:
                assert_never(one.action)


def _enter(event: KeyPressEvent, line: str, held: HeldLine) -> None:
    buffer = event.current_buffer
    held.text, buffer.text = buffer.text, line
    buffer.validate_and_handle()


def switch_editing_mode(event: KeyPressEvent) -> None:
    """Change between the keys of emacs and those of vi, which begin as at a new line: something can be typed."""
    app = event.app
    is_vi = app.editing_mode is EditingMode.VI
    app.editing_mode = EditingMode.EMACS if is_vi else EditingMode.VI
    if is_vi:
        app.output.reset_cursor_shape()
    else:
        # prompt_toolkit leaves a search to vi's navigation, also where the keys are those of emacs.
        app.vi_state.input_mode = InputMode.INSERT


class CursorOfVi(CursorShapeConfig):
    """A cursor that shows the mode with vi keys, and stays as the terminal has it with emacs keys."""

    def __init__(self) -> None:
        self._of_vi = ModalCursorShapeConfig()

    def get_cursor_shape(self, application: Application[object]) -> CursorShape:
        if application.editing_mode is not EditingMode.VI:
            return CursorShape._NEVER_CHANGE
        return self._of_vi.get_cursor_shape(application)

"""Tab: prompt_toolkit's drops it while completions are looked for, and lets the keys after it go first.

Typing never waits. A Tab alone waits for a fresh look at the VM; a key that comes before that has ended has the Tab done first,
with what is known at that moment. So the keys after a Tab see what it has done, however fast they come, unless nothing is known
yet: then the Tab is forgotten.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer, CompletionState
from prompt_toolkit.completion import CompleteEvent, Completion, get_common_complete_suffix
from prompt_toolkit.document import Document
from prompt_toolkit.key_binding import KeyPressEvent
from prompt_toolkit.key_binding.key_processor import KeyProcessor
from prompt_toolkit.keys import Keys

__all__ = ["Tab"]


@dataclass(slots=True, eq=False)
class _Pressed:
    """A Tab that has not been done. document: what stood there. opens_menu: what was typed before it opens the menu, of which
    it takes the first entry; else it inserts what all completions have in common. is_begun: the completions are looked for."""

    app: Application[Any]
    buffer: Buffer
    document: Document
    opens_menu: bool
    is_begun: bool = False


class Tab:
    """Call `press` for each Tab."""

    def __init__(self) -> None:
        self._pressed: _Pressed | None = None

    def press(self, event: KeyPressEvent) -> None:
        """Complete, or do it when the completions come that are looked for, or before the next key."""
        buffer = event.current_buffer
        opens_menu = buffer.complete_state is not None or (buffer.complete_while_typing() and _is_text(event))
        pressed = self._pressed = _Pressed(event.app, buffer, buffer.document, opens_menu)
        processor = event.key_processor
        processor.before_key_press -= self._before_key
        processor.before_key_press += self._before_key
        # Behind the completing that what was typed just before has begun.
        asyncio.get_running_loop().call_soon(self._begin, pressed)

    def _begin(self, pressed: _Pressed) -> None:
        if self._pressed is not pressed or pressed.app.is_done:
            return  # a key came before, or the line was entered or given up at once
        pressed.is_begun = True
        begun = pressed.buffer.complete_state
        pressed.opens_menu = begun is not None
        if begun is None:
            pressed.buffer.start_completion(insert_common_part=True)
        elif begun.completions:
            pressed.buffer.complete_next()
        else:
            _complete_when_found(pressed.buffer, begun)

    def _before_key(self, processor: KeyProcessor) -> None:
        processor.before_key_press -= self._before_key
        pressed, self._pressed = self._pressed, None
        if pressed is not None and pressed.buffer.document == pressed.document:
            _complete_at_once(pressed)


def _is_text(event: KeyPressEvent) -> bool:
    """Tell whether the key before was a character, or a paste."""
    before = [one.key for one in event.previous_key_sequence]
    return bool(before) and (before[-1] is Keys.BracketedPaste or not isinstance(before[-1], Keys))


def _complete_at_once(pressed: _Pressed) -> None:
    """Complete with what is known, unless that has been done."""
    buffer, state = pressed.buffer, pressed.buffer.complete_state
    if state is not None and state.completions:
        if not pressed.is_begun:
            buffer.complete_next()
    elif state is not None or not pressed.is_begun:
        found = list(buffer.completer.get_completions(buffer.document, CompleteEvent(completion_requested=True)))
        if pressed.opens_menu:
            _take_first(buffer, found)
        else:
            _insert_common_part(buffer, found)


def _take_first(buffer: Buffer, found: Sequence[Completion]) -> None:
    if found:
        buffer.complete_state = CompletionState(buffer.document, list(found))
        buffer.complete_next()


def _insert_common_part(buffer: Buffer, found: Sequence[Completion]) -> None:
    common = get_common_complete_suffix(buffer.document, list(found))
    if common:
        buffer.insert_text(common)
    elif len(found) == 1:
        _take_first(buffer, found)


def _complete_when_found(buffer: Buffer, begun: CompletionState) -> None:
    def complete(_: Buffer) -> None:
        if buffer.complete_state is begun and not begun.completions:
            return
        buffer.on_completions_changed -= complete
        if buffer.complete_state is begun:
            buffer.complete_next()

    buffer.on_completions_changed += complete

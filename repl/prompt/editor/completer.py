"""Completions in prompt_toolkit's form, from what is known about the VM."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator

from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from repl.completing.answers import Looking
from repl.completing.completion import suggest
from repl.completing.names import Look
from repl.lines.arguments import last_line
from repl.vm_cache import VMCache
from shim.printable import printable

__all__ = ["LineCompleter"]

# How long a completion waits for fresh data about the VM; after that, it uses what was known before.
_FRESH_LOOK_S = 0.2


class LineCompleter(Completer):
    """Completes from what is known about the VM. Completion waits for QEMU only for a moment, and typing never does.

    look_for_vms: starts a task that looks for the names of other VMs.
    """

    def __init__(self, knowledge: VMCache, look_for_vms: Callable[[], asyncio.Task[None]] | None = None) -> None:
        self._knowledge = knowledge
        self._look_for_vms = look_for_vms

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        return self._found(document, self._knowledge.answers.look)

    def _found(self, document: Document, look: Look) -> Iterator[Completion]:
        for one in suggest(last_line(document.text_before_cursor), self._knowledge.facts, look):
            yield Completion(one.text, start_position=one.start, display_meta=printable(one.meta))

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        # Tags and nodes change without an event, so look again when a person asks for them.
        name, blank, _ = last_line(document.text_before_cursor).lstrip().partition(" ")
        has_argument = bool(blank)
        if has_argument and name == "connect" and self._look_for_vms is not None:
            await asyncio.wait([self._look_for_vms()], timeout=_FRESH_LOOK_S)
        elif has_argument and (complete_event.completion_requested or not self._knowledge.is_fresh):
            await asyncio.wait([self._knowledge.refresh()], timeout=_FRESH_LOOK_S)
        for completion in await self._completions_in_time(document):
            yield completion

    async def _completions_in_time(self, document: Document) -> list[Completion]:
        """Return the completions with the answers that arrive within a moment; open the menu again when more arrive."""
        loop = asyncio.get_running_loop()
        # Not `document`: if the line has an alias, that is the expanded line.
        typed = get_app().current_buffer.document
        end_s = loop.time() + _FRESH_LOOK_S
        late: set[asyncio.Task[None]] = set()
        while True:
            looking = Looking(self._knowledge.answers)
            found = list(self._found(document, looking))
            # An answer may lead to another question.
            under_way = looking.under_way
            if late or not under_way:
                break
            _, late = await asyncio.wait(under_way, timeout=max(0.0, end_s - loop.time()))
        for task in late:
            task.add_done_callback(lambda _: _open_menu(typed))
        return found


def _open_menu(typed: Document) -> None:
    """Complete again, if nothing has been typed or chosen since."""
    buffer = get_app().current_buffer
    state = buffer.complete_state
    # A state without completions means that a completion is under way.
    is_open = state is not None and bool(state.completions) and state.complete_index is None
    if buffer.document == typed and (state is None or is_open):
        # prompt_toolkit starts a completion only if no menu is open.
        buffer.complete_state = None
        buffer.start_completion()

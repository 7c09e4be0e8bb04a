"""Completion as prompt_toolkit wants them, on what is known of the VM."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from repl.prompt.completion import suggest
from repl.vm_cache import VMCache

__all__ = ["LineCompleter"]

# So long a completion waits for a fresh look at the VM; after that, what was known before must do.
_FRESH_LOOK_S = 0.2


class LineCompleter(Completer):
    """Complete from what is known of the VM. Nothing here waits for QEMU longer than a moment, and typing never does.

    look_for_vms: has the names of other VMs looked for.
    """

    def __init__(self, knowledge: VMCache, look_for_vms: Callable[[], asyncio.Task[None]] | None = None) -> None:
        self._knowledge = knowledge
        self._look_for_vms = look_for_vms

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        for one in suggest(document.current_line_before_cursor, self._knowledge.facts):
            yield Completion(one.text, start_position=one.start, display_meta=one.meta)

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        # Tags and nodes change without an event: look again where a person asks for them.
        name, blank, _ = document.current_line_before_cursor.lstrip().partition(" ")
        has_argument = bool(blank)
        if has_argument and name == "connect" and self._look_for_vms is not None:
            await asyncio.wait([self._look_for_vms()], timeout=_FRESH_LOOK_S)
        elif has_argument and (complete_event.completion_requested or not self._knowledge.is_fresh):
            await asyncio.wait([self._knowledge.refresh()], timeout=_FRESH_LOOK_S)
        for completion in self.get_completions(document, complete_event):
            yield completion

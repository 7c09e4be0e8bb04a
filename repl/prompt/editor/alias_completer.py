"""Completion of aliases: their names, and after an alias whatever can follow what it stands for."""

from collections.abc import AsyncGenerator, Iterator, Mapping

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from repl.lines.arguments import last_line
from repl.lines.scanning import skip_blanks
from repl.settings.aliases import expand

__all__ = ["AliasCompleter"]


class AliasCompleter(Completer):
    """Completes aliases, and leaves everything else to another completer. aliases: name to what it stands for."""

    def __init__(self, completer: Completer, aliases: Mapping[str, str]) -> None:
        self._completer = completer
        self._aliases = aliases

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        yield from self._own(document)
        yield from self._completer.get_completions(self._written_out(document), complete_event)

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        for completion in self._own(document):
            yield completion
        async for completion in self._completer.get_completions_async(self._written_out(document), complete_event):
            yield completion

    def _own(self, document: Document) -> Iterator[Completion]:
        line = last_line(document.text_before_cursor)
        typed = line[skip_blanks(line, 0) :]
        for name, meant in sorted(self._aliases.items()):
            if name.startswith(typed):
                yield Completion(name, start_position=-len(typed), display_meta=f"alias: {meant}")

    def _written_out(self, document: Document) -> Document:
        """Return the document with the alias expanded. The word at the cursor, which is completed, stays the same."""
        before = last_line(document.text_before_cursor)
        meant = expand(before, self._aliases) if len(before.split()) > 1 or before[-1:].isspace() else before
        return document if meant == before else Document(meant)

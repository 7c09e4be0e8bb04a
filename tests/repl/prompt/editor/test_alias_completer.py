"""Completion where there are aliases."""

import asyncio
from collections.abc import Iterator

import pytest
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from repl.prompt.editor.alias_completer import AliasCompleter


class Told(Completer):
    """It completes with what it was asked about."""

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        yield Completion(document.text_before_cursor)


def completed(text: str, cursor: int | None = None) -> list[str]:
    completer = AliasCompleter(Told(), {"s": "savevm", "st": "info status"})
    document = Document(text, cursor)

    async def later() -> list[Completion]:
        return [one async for one in completer.get_completions_async(document, CompleteEvent())]

    found = list(completer.get_completions(document, CompleteEvent()))
    assert asyncio.run(later()) == found
    return [one.text for one in found]


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("", ["s", "st", ""]),
        ("s", ["s", "st", "s"]),
        (" st", ["st", " st"]),
        ("x", ["x"]),
        ("s ", ["savevm "]),
        ("s t1", ["savevm t1"]),
        ("info s", ["info s"]),
        ("stop\ns t1", ["savevm t1"]),
        ('{"execute": "stop",\n s', ['{"execute": "stop",\n s']),
    ],
)
def test_alias_is_completed_and_stands_for_its_command(text: str, texts: list[str]) -> None:
    assert completed(text) == texts


def test_what_stands_after_the_cursor_is_left_alone() -> None:
    assert completed("s t1", 3) == ["savevm t"]


def test_name_of_an_alias_replaces_what_was_typed_of_it() -> None:
    completer = AliasCompleter(Told(), {"st": "info status"})
    first = next(completer.get_completions(Document("  s"), CompleteEvent()))
    assert (first.text, first.start_position, first.display_meta_text) == ("st", -1, "alias: info status")

"""A list of files on a disk that hangs: a question of completion that is not answered."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from repl.completing.answers import Answers
from repl.completing.questions import Kind, Question
from repl.completion_data import Named

__all__ = ["hanging_files"]


@contextmanager
def hanging_files(monkeypatch: pytest.MonkeyPatch, answers: Answers) -> Iterator[None]:
    """Have such a question open as long as the context lasts."""
    ends = asyncio.Event()

    async def hangs(*_: object) -> tuple[Named, ...]:
        await ends.wait()
        return ()

    monkeypatch.setattr("repl.completing.answers.list_own_files", hangs)
    answers.look(Question(Kind.OWN_FILES, "/nfs/"))
    assert answers.under_way
    try:
        yield
        assert answers.under_way
    finally:
        ends.set()

"""The steps of what was typed, answered by hand."""

from collections.abc import Iterable
from typing import TypeVar

from proxy.human_clients.steps import Pause, Steps
from shim.qmp import Execute, Reply

__all__ = ["outcome_of"]

_Outcome = TypeVar("_Outcome")


def outcome_of(steps: Steps[_Outcome], replies: Iterable[Reply | None]) -> tuple[list[Execute | Pause], _Outcome]:
    """Return what was asked, and what came of it. replies: for each step, None after a pause; none may be left over."""
    asked = []
    answers = iter([None, *replies])
    while True:
        try:
            asked.append(steps.send(next(answers)))
        except StopIteration as end:
            assert list(answers) == []
            return asked, end.value

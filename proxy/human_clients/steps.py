"""How what is typed is done: one thing after the other, as a generator that knows no stream and no clock.

It yields an Execute, and is sent QEMU's Reply to it, or a Pause, after which it is sent None. What it returns is its outcome.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from shim.qmp import Execute, Reply

__all__ = ["Pause", "Steps"]


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is to be asked for so long."""

    seconds: float


_Outcome = TypeVar("_Outcome")
Steps: TypeAlias = Generator[Execute | Pause, Reply | None, _Outcome]

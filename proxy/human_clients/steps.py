"""How a typed line is carried out: step by step, by a generator that knows neither streams nor clocks.

It yields an Execute and is sent QEMU's Reply, or yields a Pause and is sent None after it. What it returns is its outcome.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from shim.qmp import Execute, Reply

__all__ = ["Pause", "Steps"]


@dataclass(frozen=True, slots=True)
class Pause:
    """How long to wait before the next step."""

    seconds: float


_Outcome = TypeVar("_Outcome")
Steps: TypeAlias = Generator[Execute | Pause, Reply | None, _Outcome]

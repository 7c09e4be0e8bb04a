"""What a test can do to FakeQEMU's connection: drop it, hold a command, garble the greeting, cut the output."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from tests.support.raw_client import DEADLINE_S

__all__ = ["Drop", "DropCounter", "Faults", "Holds", "When"]


class When(Enum):
    """A moment in the life of a command."""

    RECEIVED = auto()  # before it has any effect
    DONE = auto()  # its effect and its events are there, its reply is not
    REPLIED = auto()  # its reply is written


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection at a command, the `nth` one of that name; `dies` means QEMU itself ends."""

    command: str
    when: When
    nth: int = 1
    dies: bool = False


@dataclass(slots=True)
class Faults:
    """How the connection misbehaves; a test may change the members at any time.

    `greeting` replaces QEMU's (b"" for none). Commands named in `mute` are never answered and have no effect.
    `piece_bytes` writes that many bytes at a time. `coalesces` writes once for all commands that wait. With
    `keeps_stale_replies` a reply whose client has gone is given to the next one, as QEMU 5.2 to 11.1 do.
    """

    drops: Sequence[Drop] = ()
    greeting: bytes | None = None
    mute: frozenset[str] = frozenset()
    piece_bytes: int | None = None
    coalesces: bool = False
    keeps_stale_replies: bool = True


@dataclass(slots=True)
class _Hold:
    when: When
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)


class Holds:
    """The commands that a test holds, by name; each hold works once."""

    def __init__(self) -> None:
        self._holds: dict[str, _Hold] = {}

    def add(self, command: str, when: When) -> None:
        self._holds[command] = _Hold(when)

    def is_held(self, command: str, when: When) -> bool:
        return command in self._holds and self._holds[command].when is when

    async def wait_released(self, command: str) -> None:
        """Say that the command has come to its hold, and wait for the test."""
        hold = self._holds[command]
        hold.reached.set()
        await hold.released.wait()

    async def wait_reached(self, command: str) -> None:
        """Wait until the command has come to its hold; TimeoutError after the deadline."""
        async with asyncio.timeout(DEADLINE_S):
            await self._holds[command].reached.wait()

    def release(self, command: str | None) -> None:
        """Let a held command go on; None lets all."""
        for name in [command] if command is not None else list(self._holds):
            self._holds.pop(name).released.set()


class DropCounter:
    """Count the moments of each command and tell which Drop falls due."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, When], int] = {}

    def due(self, drops: Sequence[Drop], command: str, when: When) -> Drop | None:
        count = self._counts[command, when] = self._counts.get((command, when), 0) + 1
        return next((drop for drop in drops if (drop.command, drop.when, drop.nth) == (command, when, count)), None)

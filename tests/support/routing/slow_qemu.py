"""The modelled QEMU as slow as a test wants it: it reads, runs a command, and is read from, each when told to.

It takes descriptors, or refuses them, as the machine's model knows nothing of them.
"""

import json
import random
from collections import deque
from typing import Any, Final

from proxy.routing.outbox import Segment
from tests.fakes.jobs import VMFaults
from tests.fakes.monitor import is_oob
from tests.fakes.wire import spell
from tests.support.routing.pure_router import ModelQEMU

__all__ = ["SlowQEMU"]

_DESCRIPTOR_COMMANDS: Final = frozenset({"getfd", "closefd"})


class SlowQEMU:
    """Runs in-band commands in their order, and those out of band when the dice say so. output: what nobody has read yet."""

    def __init__(self, rng: random.Random, faults: VMFaults) -> None:
        self.model = ModelQEMU(faults=faults)
        self.output = bytearray()
        self._rng = rng
        self._unread: deque[list[dict[str, Any]]] = deque()
        self._in_band: deque[dict[str, Any]] = deque()
        self._out_of_band: list[dict[str, Any]] = []

    @property
    def can_read(self) -> bool:
        return bool(self._unread)

    @property
    def can_run(self) -> bool:
        return bool(self._in_band or self._out_of_band)

    def write(self, segment: Segment) -> None:
        """Take what is written to QEMU, which has not read it yet. It must be whole commands."""
        commands = _commands_in(segment.data.decode())
        if segment.descriptors:
            assert len(commands) == 1, f"descriptors go to QEMU with more than one command: {commands}"
            before = [*self._in_band, *(command for unread in self._unread for command in unread if not is_oob(command))]
            assert not before, f"descriptors go to QEMU while it has other commands: {before}"
        self._unread.append(commands)

    def read(self) -> None:
        """Read what was written in one go."""
        for command in self._unread.popleft():
            (self._out_of_band if is_oob(command) else self._in_band).append(command)

    def run(self) -> None:
        """Run one command, and say what comes of it."""
        if self._out_of_band and (not self._in_band or self._rng.random() < 0.5):
            command = self._out_of_band.pop(self._rng.randrange(len(self._out_of_band)))
        else:
            command = self._in_band.popleft()
        if command.get("execute") in _DESCRIPTOR_COMMANDS:
            refusal = {"error": {"class": "GenericError", "desc": "no file descriptor"}}
            reply = {"return": {}} if self._rng.random() < 0.5 else refusal
            self.output += spell(reply | ({"id": command["id"]} if "id" in command else {}))
        else:
            self.output += self.model.receive(json.dumps(command).encode())


def _commands_in(text: str) -> list[dict[str, Any]]:
    commands: list[dict[str, Any]] = []
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        command, end = decoder.raw_decode(text)
        commands.append(command)
        text = text[end:]
    return commands

"""A modelled QEMU whose human monitor prints what a test wants, and a prompt that knows it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.fakes import commands
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.repl.modelled_sitting import sit
from tests.support.repl.screen import Person

__all__ = ["LONG", "sit_reading"]

# More lines than any screen of the tests has.
LONG = "".join(f"line {number}\n" for number in range(1, 101))


def sit_reading(
    scene: Callable[[Person, FakeQEMU], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
    *,
    printed: Callable[[str], str] = lambda line: LONG,
    **options: Any,
) -> None:
    """Play a scene at a prompt that has asked all that it asks by itself. printed: by HMP, for a line."""

    async def knowing(person: Person, qemu: FakeQEMU) -> None:
        await qemu.wait_received("query-qmp-schema")
        await scene(person, qemu)

    monkeypatch.setattr(commands, "run_hmp", lambda vm, line: "" if line.startswith("help") else printed(line))
    sit(knowing, FakeQEMU(two_disks()), **options)

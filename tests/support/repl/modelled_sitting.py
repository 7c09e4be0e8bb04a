"""Somebody at the prompt of a modelled QEMU. tests/integration/prompt/sitting.py has a real one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from host.audit_log.log import AuditLog
from host.net.addresses import UnixAddress
from repl.command_line import Invocation
from shim.graph.policy import Policy
from tests.fakes.qemu import FakeQEMU
from tests.support.repl.screen import Person, at_prompt

__all__ = ["Scene", "sit", "sit_at"]

Scene: TypeAlias = Callable[[Person, FakeQEMU], Awaitable[None]]

# An address or a reason that is told shall stand in one line.
_COLUMNS = 150


def sit(scene: Scene, qemu: FakeQEMU, **options: Any) -> None:
    """Play a scene at a prompt in front of the model; the person leaves at its end. options: the invocation's, and columns."""

    async def run() -> None:
        async with qemu:
            await sit_at(qemu.path, lambda person: scene(person, qemu), **options)

    asyncio.run(run())


async def sit_at(
    path: str,
    scene: Callable[[Person], Awaitable[None]],
    *,
    columns: int = _COLUMNS,
    audit_log: AuditLog | None = None,
    policy: Policy | None = None,
    **options: Any,
) -> None:
    """Play a scene at a prompt that is connected to this socket, once it has said where it is, if it can."""
    invocation = Invocation(UnixAddress(path), policy or Policy(), **options)
    async with at_prompt(invocation, columns=columns, audit_log=audit_log) as person:
        await person.until(lambda: person.console is not None, "what is behind the prompt")
        await person.sees_match(r"'exit' leaves\.|is lost: ")
        await scene(person)
        if person.is_there:
            await person.gives_up()
            await person.leaves()

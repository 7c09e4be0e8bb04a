"""Another VM at the same prompt: what `connect NAME` means, and the names that Tab completes."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace

from repl.command_line import Invocation, leaving_alone, parse_target
from repl.completion_data import Named
from repl.errors import OwnPolicyError
from repl.finding.choosing import by_name
from repl.finding.looking import look
from repl.finding.vms import FoundVM, Via
from repl.vm_cache import VMCache
from shim.graph.policy import Policy

__all__ = ["VMNames", "found_vms", "invocation_at"]

_FRESH_S = 2.0


async def found_vms() -> tuple[FoundVM, ...]:
    """Look for VMs on a thread, outside the loop."""
    return (await asyncio.to_thread(look)).vms


async def invocation_at(target: str, before: Invocation) -> Invocation:
    """Return the invocation for another VM, given by its name or address. Raises ProgramError.

    before: the present invocation, from which the person's choices are kept, including options for a policy.
    """
    address = parse_target(target)
    policy = before.policy if before.policy_options else leaving_alone(Policy())
    plain = replace(before, policy=policy, name=None, file_policy=None, tls=None)
    if not isinstance(address, str):
        return replace(plain, address=address)
    found = by_name(await asyncio.to_thread(look), target)
    config = found.config
    if config is None:
        return replace(plain, address=found.address)
    if found.via is Via.QEMU and config.audit is not None and before.audit is None:
        reason = f"its commands must go on record in {config.audit.destination}; leave, and start hmp-repl {target}"
        raise OwnPolicyError(str(found.address), reason)
    return replace(
        plain,
        address=found.address,
        name=config.name,
        policy=policy if before.policy_options else leaving_alone(config.policy),
        file_policy=None if before.policy_options else config.policy,
        tls=config.upstream_tls if found.address == config.upstream else None,
    )


class VMNames:
    """The names of all VMs, looked for when a person wants to complete one, and passed on to the completion's facts."""

    def __init__(self, tasks: asyncio.TaskGroup, knowledge: Callable[[], VMCache]) -> None:
        self._tasks = tasks
        self._knowledge = knowledge
        self._looking: asyncio.Task[None] | None = None
        self._looked_at_s = -math.inf

    def refresh(self) -> asyncio.Task[None]:
        """Look in the background, unless the last look was a moment ago or is under way; return the look."""
        now_s = asyncio.get_running_loop().time()
        if self._looking is None or (self._looking.done() and now_s - self._looked_at_s > _FRESH_S):
            self._looking = self._tasks.create_task(self._look())
        return self._looking

    async def _look(self) -> None:
        names = tuple(Named(vm.name, str(vm)) for vm in await found_vms())
        knowledge = self._knowledge()
        knowledge.facts = replace(knowledge.facts, vms=names)
        self._looked_at_s = asyncio.get_running_loop().time()

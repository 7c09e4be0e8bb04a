"""Another VM at the same prompt: what `connect NAME` means, and the names that Tab completes."""

import asyncio
import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace

from repl.command_line import Invocation, leaving_alone
from repl.completion_data import Named
from repl.errors import OwnPolicyError
from repl.finding.choosing import by_number, choose
from repl.finding.looking import look
from repl.finding.vms import FoundVM, Via
from repl.lines.target import parse_target
from repl.output.layout import Fragments
from repl.progress.aside import beside_loop
from repl.prompt.choice import rows
from repl.vm_cache import VMCache
from shim.graph.policy import Policy

__all__ = ["OtherVMs", "invocation_at"]

_FRESH_S = 2.0


def invocation_at(
    target: str, before: Invocation, shown: Sequence[FoundVM] = (), tell: Callable[[str], None] = lambda text: None
) -> Invocation:
    """Return what this program would have been started with for another VM, by its name, address, or number in the list that
    was shown. Raises ProgramError. It blocks.

    before: the present one. What it says of a person's wishes stays, options for a policy included. tell: told of each mistake
    in a configuration file.
    """
    address = parse_target(target)
    policy = before.policy if before.policy_options else leaving_alone(Policy())
    plain = replace(before, policy=policy, name=None, file_policy=None, tls=None)
    if not isinstance(address, str):
        return replace(plain, address=address)
    found = by_number(shown, target) or choose(target, tell=tell)
    config = found.config
    if config is None:
        return replace(plain, address=found.address)
    if found.via is Via.QEMU and config.audit is not None and before.audit is None:
        start = f"hmp-repl {shlex.quote(found.name)}"
        reason = f"its commands must go on record in {config.audit.destination}; leave, and start {start}"
        raise OwnPolicyError(str(found.address), reason)
    return replace(
        plain,
        address=found.address,
        name=config.name,
        policy=policy if before.policy_options else leaving_alone(config.policy),
        file_policy=None if before.policy_options else config.policy,
        tls=config.upstream_tls if found.address == config.upstream else None,
    )


class OtherVMs:
    """The VMs that a person can change over to: listed, told to what completes, and one of them taken.

    knowledge: returns what is told their names. tell: told of each mistake in a configuration file.
    """

    def __init__(self, tasks: asyncio.TaskGroup, knowledge: Callable[[], VMCache], tell: Callable[[str], None]) -> None:
        self._tasks = tasks
        self._knowledge = knowledge
        self._tell = tell
        self._looking: asyncio.Task[None] | None = None
        self._looked_at_s = -math.inf
        # Whose numbers a person has seen last.
        self._shown: Sequence[FoundVM] = ()

    async def listed(self, present: Invocation, *, width: int) -> Fragments:
        """Look for VMs, and return the list of all."""
        found = await beside_loop(look)
        for mistake in found.mistakes:
            self._tell(mistake)
        self._shown = found.vms
        return rows(found.vms, width=width, present=present.address)

    async def invocation_at(self, target: str, before: Invocation) -> Invocation:
        """Return what this program would have been started with for another of them. Raises ProgramError."""
        told: list[str] = []
        try:
            return await beside_loop(lambda: invocation_at(target, before, self._shown, told.append))
        finally:
            for mistake in told:
                self._tell(mistake)

    def refresh(self) -> asyncio.Task[None]:
        """Look in the background, unless the last look was a moment ago or is under way; return the look."""
        now_s = asyncio.get_running_loop().time()
        if self._looking is None or (self._looking.done() and now_s - self._looked_at_s > _FRESH_S):
            self._looking = self._tasks.create_task(self._look())
        return self._looking

    async def _look(self) -> None:
        try:
            found = await beside_loop(look)
        except (OSError, RuntimeError):  # such as no thread to look on; names to complete are not worth the prompt
            return
        names = tuple(Named(vm.name, str(vm)) for vm in found.vms)
        knowledge = self._knowledge()
        knowledge.facts = replace(knowledge.facts, vms=names)
        self._looked_at_s = asyncio.get_running_loop().time()

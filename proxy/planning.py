"""`hmp-proxy plan`: what would be done with a command, on the VM as it is, without doing it."""

import json
from datetime import datetime
from itertools import count

from host.ids import own_ids
from proxy.command_line import PlanInvocation
from proxy.conversation import Conversation
from proxy.upstream import Upstream
from shim import explain, hmp, snapshots
from shim.jobs import JOB_PREFIX
from shim.plan import Context, PassThrough, Replies
from shim.rehearsal import Rehearsal, rehearse

__all__ = ["explain_plan"]


async def explain_plan(invocation: PlanInvocation) -> str:
    """Connect, ask, and give the plan as text or JSON. Raises UpstreamError or NotQMPError."""
    upstream = Upstream(invocation.vm.upstream, name=invocation.vm.name, new_id=own_ids("plan-"))
    try:
        conversation = await upstream.connect()
        try:
            rehearsal = await _rehearse(invocation, conversation)
        finally:
            conversation.close()
    finally:
        upstream.close()
    if invocation.as_json:
        return json.dumps(explain.to_json(invocation.command_line, rehearsal), indent=2)
    return explain.to_text(invocation.command_line, rehearsal)


async def _rehearse(invocation: PlanInvocation, conversation: Conversation) -> Rehearsal:
    command = hmp.parse(invocation.command_line)
    if command is None:
        reason = "it is not exactly one well-formed savevm, loadvm, delvm or info snapshots"
        return Rehearsal(PassThrough(reason), None, [], None)
    numbers = count(1)
    context = Context(
        version=conversation.monitor.version,
        commands=conversation.monitor.commands,
        new_job_id=lambda: f"{JOB_PREFIX}{next(numbers)}",
        now=datetime.now(),
        local_time=datetime.fromtimestamp,
        policy=invocation.vm.policy,
    )
    playing = rehearse(snapshots.plan(command, context), context)
    replies: Replies | None = None
    try:
        while True:
            step = next(playing) if replies is None else playing.send(replies)
            replies = tuple(await conversation.execute(step.commands))
    except StopIteration as stop:
        rehearsal: Rehearsal = stop.value
        return rehearsal

"""`hmp-proxy plan`: show what a command would do on the VM as it is, without doing it.

If a proxy answers, its plan is the true one: it knows its policy. Otherwise, or if a policy is given, the plan is made here, by
the same rehearsal. Only queries are sent, so it can be run on a production VM at any time.
"""

import json
import os
from typing import TYPE_CHECKING

from host.ids import own_ids
from host.net.addresses import process
from proxy.command_line.invocations import PlanInvocation
from proxy.errors import NotQMPError
from proxy.net.certificates import Certificates
from proxy.net.qmp_connection import QMPConnection
from proxy.net.upstream import Upstream
from proxy.system_clock import SYSTEM_CLOCK
from shim.decisions.beside import ProxyFacts, plan_members, policy_words, rehearse_line
from shim.decisions.own_commands import PLAN, QUERY_PROXY
from shim.errors import UnreadableReply
from shim.hmp.line import HMPLine
from shim.plans.jobs import shown_ids
from shim.plans.plan import Context, Replies
from shim.plans.rehearsal import Rehearsal
from shim.qmp import JSON, ErrorReply, Execute, ReturnReply

if TYPE_CHECKING:  # see shim.rules.permissions
    from shim.rules.rules import Verdict

__all__ = ["explain_plan"]


async def explain_plan(invocation: PlanInvocation) -> str:
    """Connect, ask, and return the plan as text or JSON. Raises UpstreamError or NotQMPError.

    QEMU serves one client per socket, so at QEMU's own socket this works only while no proxy is connected there. That is why a
    proxy's socket will do as well, and is what `--help` shows.
    """
    vm = invocation.vm
    upstream = Upstream(vm.upstream, name=vm.name, new_id=own_ids("plan-"), certificates=Certificates.of_upstream(vm))
    try:
        connection = await upstream.connect()
        try:
            plan, text = await _plan(invocation, connection)
        finally:
            connection.close()
    finally:
        upstream.close()
    return json.dumps(plan, indent=2) if invocation.as_json else text


async def _plan(invocation: PlanInvocation, connection: QMPConnection) -> tuple[JSON, str]:
    """Return the plan for a program and for a person.

    The proxy is asked first. Only CommandNotFound means that there is no proxy, or one too old to know the command. Any other
    error is raised: a plan made here by the default policy would look like the proxy's, and predict what does not happen.
    """
    if invocation.given_by is None:
        (reply,) = await connection.execute([Execute(PLAN, {"command-line": invocation.command_line})])
        match reply:
            case ReturnReply({"plan": dict(plan), "text": str(text)}):
                return plan, text
            case ErrorReply(error_class, desc) if error_class != "CommandNotFound":
                raise NotQMPError(str(invocation.vm.upstream), f"the proxy there cannot make a plan: {desc}")
        whose = "the default, as no proxy there reports a policy of its own"
    else:
        whose = f"given by {invocation.given_by}{await _otherwise(connection)}"
    line, policy = HMPLine.read(invocation.command_line), invocation.vm.policy
    verdict = invocation.vm.permissions.verdict_on(line, process(os.getpid(), os.getuid()), policy)
    rehearsal = await _rehearse(line, invocation, connection, verdict)
    members = plan_members(line, rehearsal, policy, whose, verdict=verdict)
    return members["plan"], members["text"]


async def _otherwise(connection: QMPConnection) -> str:
    """Return words on which policy is in force instead of the given one; "" if there is no proxy that could have another.

    A proxy of another version may describe its policy in a way that cannot be read. The plan does not depend on it.
    """
    (reply,) = await connection.execute([Execute(QUERY_PROXY)])
    if not isinstance(reply, ReturnReply):
        return ""
    try:
        facts = ProxyFacts.from_members(reply.value)
    except UnreadableReply as exc:
        return f", whatever is in force at the proxy there: {exc}"
    return f", not the one in force at {facts}, which is: {policy_words(facts.policy)}"


async def _rehearse(
    line: HMPLine, invocation: PlanInvocation, connection: QMPConnection, verdict: "Verdict | None"
) -> Rehearsal:
    """Run the rehearsal as the proxy would, but await each step's queries here: nobody else is served meanwhile.

    Job ids are examples, since no job is sent. A `savevm` without a tag is named by this machine's clock and time zone.
    """
    context = Context(
        version=connection.monitor.version,
        commands=connection.monitor.commands,
        new_job_id=shown_ids(),
        now=SYSTEM_CLOCK.local(),
        local_time=SYSTEM_CLOCK.local_time,
        policy=invocation.vm.policy,
        free_space=SYSTEM_CLOCK.free_space,
    )
    playing = rehearse_line(line, context, verdict)
    replies: Replies | None = None
    try:
        while True:
            step = next(playing) if replies is None else playing.send(replies)
            replies = tuple(await connection.execute(step.commands))
    except StopIteration as stop:
        rehearsal: Rehearsal = stop.value
        return rehearsal

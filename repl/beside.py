"""The prompt at a proxy's socket: what the proxy says about itself, and its plans in the form of the prompt's own.

The proxy has a policy and does the snapshot commands by it; the prompt sends it HMP's own line. So nothing here decides
anything, and a policy of the prompt's own would be ignored: it is an error.
"""

from collections.abc import Iterator, Sequence

from repl.errors import LinkError, OwnPolicyError
from repl.link import Link
from repl.results import Planned
from shim.decisions.beside import ProxyFacts, policy_words
from shim.decisions.own_commands import PLAN, QUERY_PROXY
from shim.errors import PatternError, UnreadableReply
from shim.graph.blockgraph import BlockGraph
from shim.graph.patterns import Pattern
from shim.graph.policy import Policy
from shim.graph.selection import NodeChoice
from shim.hmp.line import HMPLine
from shim.plans.plan import Answer, Decided, Outcome, PassThrough, Refusal
from shim.plans.rehearsal import Rehearsal
from shim.plans.repairs import read_faults
from shim.qmp import JSON, Execute, Reply, ReturnReply, reply_members

__all__ = [
    "ASK_PROXY",
    "OTHER_POLICY",
    "TO_PROXY",
    "check_own_policy",
    "plan_of_proxy",
    "proxy_notices",
    "read_facts",
    "read_plan",
    "refuse_own_policy",
]

# This also tells the proxy that a person sees what fails, and that `help` is a question of the prompt's own.
ASK_PROXY = Execute(QUERY_PROXY, {"is-prompt": True})
TO_PROXY = PassThrough("the proxy does it, by its own policy", is_delegated=True)
OTHER_POLICY = "{} has another policy than the file; its own holds until it reads the file again (SIGHUP)"


def read_facts(reply: Reply, address: str) -> ProxyFacts | None:
    """Read the reply to ASK_PROXY; None if QEMU itself has answered. Raises LinkError if the reply is not understood."""
    if not isinstance(reply, ReturnReply):
        return None
    try:
        return ProxyFacts.from_members(reply.value)
    except UnreadableReply as exc:
        raise LinkError(address, f"{exc}; is the proxy there of another version than this hmp-repl?") from exc


async def refuse_own_policy(link: Link, options: Sequence[str]) -> None:
    """Raise OwnPolicyError if a proxy is there and options give a policy that it would not follow. Raises LostError."""
    if options:
        (answer,) = await link.execute([ASK_PROXY])
        check_own_policy(read_facts(answer.reply, str(link.address)), options, str(link.address))


def check_own_policy(proxy: ProxyFacts | None, options: Sequence[str], address: str) -> None:
    """Raise OwnPolicyError if there are both a proxy and options that give a policy."""
    if proxy is not None and options:
        reason = f"{proxy} is there, and its policy holds ({policy_words(proxy.policy)}); drop {', '.join(options)}"
        raise OwnPolicyError(address, reason)


def proxy_notices(proxy: ProxyFacts | None, file_policy: Policy | None) -> Iterator[str]:
    """Yield notices that a proxy's policy applies, if one is there. file_policy: a configuration's; None for none."""
    if proxy is not None:
        yield f"{proxy} does the snapshot commands here, by its own policy: {policy_words(proxy.policy)}"
        if file_policy not in (None, proxy.policy):
            yield OTHER_POLICY.format(proxy)


async def plan_of_proxy(link: Link, proxy: ProxyFacts, line: HMPLine, graph: BlockGraph | None) -> Planned:
    """Ask the proxy for a plan. graph: as for `read_plan`. Raises LinkError."""
    (answer,) = await link.execute([Execute(PLAN, {"command-line": line.text})])
    match answer.reply:
        case ReturnReply({"plan": dict(plan), "text": str(text)}):
            try:
                rehearsal = read_plan(plan, graph)
            except UnreadableReply as exc:
                raise LinkError(str(link.address), str(exc)) from exc
            return Planned(rehearsal, plan, text, f"{policy_words(proxy.policy)} (in force at {proxy})")
    raise LinkError(str(link.address), f"the proxy there cannot make a plan: {reply_members(answer.reply)}")


def read_plan(plan: JSON, graph: BlockGraph | None) -> Rehearsal:
    """Read a proxy's plan as a Rehearsal. graph: the nodes now; some of the plan's may be gone. Raises UnreadableReply.

    If the proxy passes the command on to another proxy, the plan of that one counts.
    """
    try:
        if isinstance(plan.get("behind"), dict) and plan["outcome"]["kind"] in ("passed", "delegated"):
            return read_plan(plan["behind"], graph)
        would_send = [Execute(command["execute"], command["arguments"]) for command in plan["qmp"]]
        unmatched = tuple(map(Pattern.parse, plan.get("unmatched", ())))
        faults = read_faults(plan.get("advice", ()))
        return Rehearsal(_outcome(plan["outcome"]), _decided(plan, graph), would_send, graph, unmatched, faults)
    except (KeyError, TypeError, AttributeError, PatternError) as exc:
        raise UnreadableReply("the proxy's plan", repr(exc)) from exc


def _outcome(outcome: JSON) -> Outcome:
    match outcome:
        case {"kind": "passed" | "delegated" as kind, "reason": str(reason)}:
            return PassThrough(reason, is_delegated=kind == "delegated")
        case {"kind": "refused", "reason": str(reason), "text": str(text)}:
            return Refusal(text, reason)
        case {"kind": "rewritten", "reason": str(reason), "text": str(text)}:
            return Answer(text, reason)
    raise TypeError(f"an outcome {outcome!r}")


def _decided(plan: JSON, graph: BlockGraph | None) -> Decided | None:
    vmstate = plan["vmstate"]
    if vmstate is None or graph is None:
        return None
    choices = tuple(
        NodeChoice(graph.nodes[node["node"]], node["included"], node["reason"])
        for node in plan["nodes"]
        if node["node"] in graph.nodes and (node["included"] or node["node"] in graph.walk)
    )
    holder = vmstate["node"] if vmstate["node"] in graph.nodes else None
    # In a plan, the VM state's reason ends with this too (shim.records.audit_form.describe_vmstate).
    native_load = plan.get("native_load")
    reason = vmstate["reason"].removesuffix(f"; {native_load}")
    return Decided(choices, holder, reason, native_load, tuple(plan.get("deletes", ())), plan.get("remark"))

"""Two QMP commands that a proxy answers itself and lists nowhere: what it is, and what it would do with a command.

QEMU answers both with CommandNotFound, so the reply shows whether a proxy is there. QAPI reserves names that begin with two
underscores and a vendor's prefix for downstreams (docs/devel/qapi-code-gen.rst, "Naming rules and reserved names").

Why they exist: `hmp-proxy plan` and `hmp-repl`, connected to a proxy's socket, would otherwise decide by a policy of their own,
and so predict what does not happen, or put the VM state on another disk than the proxy would. They ask the proxy and show its
plan.

Proxies may be chained. So each passes the question on to what it takes for QEMU and returns what came back as `behind`. Members
that only a newer or older proxy knows are ignored, and missing ones get their defaults.

docs/proxy-commands.md documents the arguments and return values.
"""

from collections.abc import Generator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self, get_args, get_type_hints

from shim.advice.advice import advised
from shim.decisions import explain
from shim.decisions.own_commands import PLAN, QUERY_PROXY
from shim.errors import PatternError, UnreadableReply
from shim.graph import limits
from shim.graph.patterns import Pattern
from shim.graph.policy import Mode, Policy
from shim.hmp import render
from shim.hmp.allowance import refusal
from shim.hmp.line import HMPLine
from shim.plans import snapshot_plans
from shim.plans.plan import Context, PassThrough, Refusal, Replies, Run
from shim.plans.rehearsal import Rehearsal, rehearse
from shim.printable import printable
from shim.qmp import JSON, Execute, ReturnReply
from shim.version import VERSION

if TYPE_CHECKING:  # see shim.rules.permissions
    from shim.rules.rules import Verdict

__all__ = [
    "VERSION",
    "ProxyFacts",
    "make_plan",
    "plan_members",
    "policy_members",
    "policy_words",
    "read_policy",
    "rehearse_line",
    "tell_proxy",
]

PROGRAM: Final = "hmpshim"

# A policy goes over the wire with the keys of the configuration file, so that a person can compare the two.
# -- policies as JSON -----------------------------------------------------------------------------------------------------


def policy_members(policy: Policy) -> dict[str, JSON]:
    """Return the whole policy, with the keys of the configuration file."""
    return {_key(field.name): _spelled(getattr(policy, field.name)) for field in _wishes()}


def read_policy(members: Mapping[str, JSON]) -> Policy:
    """Read what `policy_members` made, in this version or another.

    Members that an older proxy does not send get their defaults; those that only a newer one knows are ignored. Raises
    UnreadableReply.
    """
    hints = get_type_hints(Policy)
    try:
        known = {field.name: members[_key(field.name)] for field in _wishes() if _key(field.name) in members}
        return Policy(**{name: _read(value, hints[name]) for name, value in known.items()})
    except (ValueError, TypeError, AttributeError, PatternError) as exc:
        raise UnreadableReply("the proxy's policy", str(exc)) from exc


def _wishes() -> list[Field[Any]]:
    """Return the fields that the operator sets, without what the policy remembers by itself."""
    return [field for field in fields(Policy) if field.compare]


def policy_words(policy: Policy) -> str:
    """Describe a policy by what differs from the default one, with the configuration file's keys: `auto, guard off`."""
    words = [policy.kind.value]
    for field in _wishes():
        value = getattr(policy, field.name)
        if field.name != "kind" and value != (None if field.default is MISSING else field.default):
            words.append(f"{_key(field.name)} {_worded(value)}".replace("_", " "))
    return ", ".join(words)


def _key(name: str) -> str:
    return "policy" if name == "kind" else name.removesuffix("_s")


def _spelled(value: Any) -> JSON:
    match value:
        case tuple():
            return [str(pattern) for pattern in value]
        case frozenset():
            return sorted(value)
        case StrEnum():
            return value.value
    return value


def _worded(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    spelled = _spelled(value)
    return " ".join(spelled) if isinstance(spelled, list) else f"{spelled}"


def _read(value: JSON, hint: Any) -> Any:
    """Read a value for a field of this type. Raises ValueError, TypeError or PatternError."""
    kinds = [kind for kind in (hint, *get_args(hint)) if isinstance(kind, type)]
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        if issubclass(kind, StrEnum):
            return kind(value)
        if kind is Pattern and isinstance(value, list):
            return tuple(map(Pattern.parse, value))
        if hint is str and isinstance(value, str):
            return value
        if kind is str and hint is not str and isinstance(value, list):
            return frozenset(value)
        if kind is int and type(value) is int:
            return value
        if kind is bool and isinstance(value, bool):
            return value
        if kind is float and isinstance(value, int | float):
            return float(value)
    raise TypeError(f"{value!r} is of no known type")


# -- what the proxy is ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProxyFacts:
    """What a proxy says about itself. version: the program's. vm: its name in the audit. qemu: the version of its QEMU."""

    version: str
    vm: str
    qemu: str
    policy: Policy

    def __str__(self) -> str:
        return f"hmp-proxy {self.version} of VM {self.vm}"

    def to_members(self) -> dict[str, JSON]:
        return {
            "program": PROGRAM,
            "version": self.version,
            "vm": self.vm,
            "qemu": self.qemu,
            "mode": self.policy.mode.value,
            "policy": policy_members(self.policy),
            "policy-words": policy_words(self.policy),
        }

    @classmethod
    def from_members(cls, members: JSON) -> Self:
        """Read an answer to QUERY_PROXY. Raises UnreadableReply."""
        match members:
            case {"version": str(version), "vm": str(vm), "qemu": str(qemu), "policy": dict(policy)}:
                return cls(version, vm, qemu, read_policy(policy))
        raise UnreadableReply("the proxy", "it lacks a member")


def tell_proxy(facts: ProxyFacts) -> Generator[Run, Replies, dict[str, JSON]]:
    """Answer QUERY_PROXY.

    A proxy behind this one does not learn whether a prompt asked: over this connection it gets what all clients here send.
    """
    behind = yield from _ask_behind(Execute(QUERY_PROXY))
    return facts.to_members() | {"behind": behind}


def _ask_behind(command: Execute) -> Generator[Run, Replies, JSON]:
    """Ask what this proxy takes for QEMU; return None if it is QEMU (CommandNotFound) or if the answer is not an object."""
    (reply,) = yield Run((command,))
    return reply.value if isinstance(reply, ReturnReply) and isinstance(reply.value, dict) else None


# -- plans ----------------------------------------------------------------------------------------------------------------


def make_plan(
    line: HMPLine, facts: ProxyFacts, context: Context, verdict: "Verdict | None" = None
) -> Generator[Run, Replies, dict[str, JSON]]:
    """Answer PLAN. The client sees the context's job ids, so they must not be the proxy's own (jobs.shown_ids).

    verdict: what the rules say about the command, None if no rules apply to the client. A proxy behind this one is asked only
    if it would get the command as it is. If this proxy rewrites the command, that one gets the jobs instead and passes them on.
    """
    rehearsal = yield from rehearse_line(line, context, verdict)
    behind = None
    if isinstance(rehearsal.outcome, PassThrough) or facts.policy.mode is Mode.OBSERVE:
        behind = yield from _ask_behind(Execute(PLAN, {"command-line": line.text}))
    return plan_members(line, rehearsal, facts.policy, f"in force at {facts}", behind, verdict)


def rehearse_line(line: HMPLine, context: Context, verdict: "Verdict | None" = None) -> Generator[Run, Replies, Rehearsal]:
    """Rehearse any command line under the policy; only queries are sent.

    The order is that of a proxy: the rules first, then what mode "enforce" or a limit refuses, then what is not a snapshot
    command, then the plan.
    """
    if verdict is not None and not verdict.is_allowed:
        return Rehearsal(Refusal(verdict.text, str(verdict)), None, [], None)
    policy = context.policy
    refused = refusal(line, policy.allow) if policy.mode is Mode.ENFORCE else None
    if refused is None:
        refused = limits.against_line(line, policy)
    if refused is not None:
        return Rehearsal(Refusal(render.error(refused), refused), None, [], None)
    if line.command is None:
        return Rehearsal(PassThrough(line.why_not_parsed), None, [], None)
    rehearsing = rehearse(snapshot_plans.plan(line.command, context), context)
    return (yield from advised(line.command, rehearsing, context))


def plan_members(
    line: HMPLine,
    rehearsal: Rehearsal,
    policy: Policy,
    whose: str,
    behind: JSON = None,
    verdict: "Verdict | None" = None,
) -> dict[str, JSON]:
    """Return a plan as `plan` for a program and as `text` for a person.

    whose: whose policy it is, in words. behind: the same members from the proxy that would get the command, None if QEMU would.
    verdict: what the rules say, None if there are no rules.
    """
    told = f"{policy_words(policy)} ({whose})"
    head, gap, rest = explain.to_text(line, rehearsal).partition("\n")
    lines = [head, f"policy: {told}"]
    if verdict is not None:
        lines.append(printable(f"rules: {verdict}"))
    if policy.mode is Mode.OBSERVE:
        lines.append("mode observe: QEMU gets every command as it is, and this is what rewriting would do")
    plan = explain.to_json(line, rehearsal) | {"policy": policy_members(policy), "policy_of": whose}
    plan["rule"] = None if verdict is None else verdict.reason
    text = "\n".join(lines) + gap + rest
    match behind:
        case {"plan": dict(its_plan), "text": str(its_text)}:
            plan["behind"] = its_plan
            text += f"\n\nThe proxy behind it would get the command, and plans:\n\n{its_text}"
    return {"plan": plan, "text": text}

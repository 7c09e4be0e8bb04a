"""A rehearsed plan as text for a person or as JSON for a program: the nodes, the choice and its reasons, the commands.

The text is made from the JSON, so both say the same. Names and tags come from disk images and clients, so everything that goes
to a terminal is made harmless first (printable.py).
"""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from shim.graph.blockgraph import BlockGraph, BlockNode
from shim.hmp.line import HMPLine, LoadVM, SaveVM
from shim.hmp.render import size_text
from shim.plans.plan import PassThrough, Refusal
from shim.plans.rehearsal import Rehearsal
from shim.printable import aligned, harmless, printable
from shim.qmp import JSON, encode
from shim.records.audit_form import describe_choice, describe_vmstate

__all__ = ["UNLESS_DEVICES_DIFFER", "to_json", "to_text"]

# A load may fail after all that a plan can see: no query tells which devices a VM state has.
UNLESS_DEVICES_DIFFER = "unless the VM's devices differ from the saved ones: only the disks' snapshots were looked at"

_TITLES = ("", "NODE", "DEVICE", "FORMAT", "SIZE", "WRITABLE", "SNAPSHOTS", "WHY")
_NOT_ASKED = "QEMU was not asked for its block nodes."
_PROSE_COLUMNS = 80
_QUERIES_ASKED = "Nothing was changed; only queries were sent."


def to_json(line: HMPLine, rehearsal: Rehearsal) -> dict[str, JSON]:
    """Return the plan as a JSON object: for `hmp-proxy plan --json`, `plan --json` at the prompt, and a proxy's own answer.

    Programs read it (docs/proxy-commands.md), as do proxies and prompts of other versions, so members are only ever added.
    Members: command_line, nodes (each with node, device, format, included, reason, size_bytes, writable, file, snapshots),
    vmstate (node, reason) or null, native_load (why QEMU itself could not load what a savevm makes, or null), replaces (the
    names of the nodes whose snapshot of the tag a savevm replaces), unmatched (the policy's patterns that match no node now),
    qmp (the commands that would change something), outcome (kind, reason, text or null). Only if not empty: deletes (the tags
    of older snapshots that go once the new one is saved), remark (what could not be checked), advice (what is in the way, each
    with kind, text and ways; a way has where to type it, its lines and its effect).
    """
    decided = rehearsal.decided
    choices = {} if decided is None else {choice.node.name: describe_choice(choice) for choice in decided.choices}
    more: dict[str, JSON] = {} if decided is None else {"deletes": list(decided.deletes), "remark": decided.remark}
    more["advice"] = [fault.to_members() for fault in rehearsal.faults]
    return {
        "command_line": line.text,
        "nodes": [_node(node) | choices.get(node.name, _unseen(node, rehearsal.graph)) for node in _nodes(rehearsal)],
        "vmstate": None if decided is None else describe_vmstate(decided),
        "native_load": None if decided is None else decided.native_load,
        "replaces": _replaced(line, rehearsal),
        "unmatched": [str(pattern) for pattern in rehearsal.unmatched],
        "qmp": [{"execute": command.command, "arguments": dict(command.arguments)} for command in rehearsal.would_send],
        "outcome": _outcome(rehearsal),
    } | {name: told for name, told in more.items() if told}


def to_text(line: HMPLine, rehearsal: Rehearsal) -> str:
    """Return the plan as lines for a terminal."""
    plan = to_json(line, rehearsal)
    lines = [f"plan of: {printable(line.text)}", ""]
    lines += [_NOT_ASKED] if rehearsal.graph is None else _table([_row(node) for node in plan["nodes"]])
    decided = rehearsal.decided
    if decided is not None:
        lines += ["", printable(f"VM state: {decided.vmstate or 'on no node'} ({decided.vmstate_reason})")]
    lines += [f"{plan['native_load']}."] if plan["native_load"] else []
    if plan["unmatched"]:
        lines += ["", printable(f"Patterns of the policy that fit no node of the VM now: {', '.join(plan['unmatched'])}")]
    if plan["replaces"]:
        lines += ["", printable(f"It replaces the snapshot of this name on {', '.join(plan['replaces'])}.")]
    if "deletes" in plan:
        gone = ", ".join(map(repr, plan["deletes"]))
        lines += ["", printable(f"Once it is saved, the oldest go, because the setting max_snapshots is reached: {gone}.")]
    if "remark" in plan:
        lines += ["", printable(f"{plan['remark'][:1].upper()}{plan['remark'][1:]}.")]
    if plan["qmp"]:
        lines += ["", "QMP commands that would run:", *(f"    {encode(command)}" for command in plan["qmp"])]
    return "\n".join([*lines, "", _verdict(line, plan["outcome"]), *_advice(rehearsal), _QUERIES_ASKED])


def _advice(rehearsal: Rehearsal) -> Iterator[str]:
    """Yield what is in the way, with each line to type unwrapped, so that it can be copied."""
    yield from ["", "What is in the way, and what to type at the hmp> prompt:"] if rehearsal.faults else []
    for fault in rehearsal.faults:
        yield from _prose(f"! {fault.kind}: {fault.text}", 2)
        for number, way in enumerate(fault.repairs):
            labels = list(way.labels(is_first=not number))
            if not way.lines:
                yield from _prose(f"{labels[0]} {way.effect}", 4)
                continue
            yield from (f"    {label} {printable(str(line))}" for label, line in zip(labels, way.lines, strict=True))
            yield from _prose(way.effect, 6)
    yield from [""] if rehearsal.faults else []


def _prose(text: str, indent: int) -> list[str]:
    blanks = " " * indent
    rest = f"{blanks}  " if indent < 6 else blanks
    return wrap(printable(text), _PROSE_COLUMNS, initial_indent=blanks, subsequent_indent=rest, break_on_hyphens=False)


# What a savevm loses is the first thing that whoever plans one wants to know, so the plan lists it.
def _replaced(line: HMPLine, rehearsal: Rehearsal) -> list[str]:
    """Return the names of the nodes whose older snapshot a successful savevm removes, even if QEMU itself is to do it."""
    command, outcome = line.command, rehearsal.outcome
    if not isinstance(command, SaveVM) or command.tag is None or rehearsal.decided is None:
        return []
    if not isinstance(outcome, PassThrough) and (isinstance(outcome, Refusal) or outcome.text):
        return []
    return [choice.node.name for choice in rehearsal.decided.choices if choice.node.count(command.tag)]


def _nodes(rehearsal: Rehearsal) -> list[BlockNode]:
    """Return all nodes, those that HMP looks at first, in its order.

    The others are shown because patterns can name them too: whoever wonders why `exclude` has no effect sees there that the
    name belongs to a part, such as the file below a qcow2 node.
    """
    if rehearsal.graph is None:
        return []
    walked = list(rehearsal.graph.walked())
    names = {node.name for node in walked}
    return walked + [node for node in rehearsal.graph.nodes.values() if node.name not in names]


def _node(node: BlockNode) -> dict[str, JSON]:
    return {
        "size_bytes": node.size_bytes,
        "writable": not node.is_read_only,
        "file": node.filename,
        "snapshots": [
            {"id": snapshot.snapshot_id, "name": snapshot.name, "vm_state_size": snapshot.vm_state_size}
            for snapshot in node.snapshots
        ],
    }


def _unseen(node: BlockNode, graph: BlockGraph | None) -> dict[str, JSON]:
    """Describe a node about which the policy was not asked, with the members of describe_choice."""
    reason = "part of another node; HMP does not look at it"
    if graph is not None and node.name in graph.walk:
        reason = "it was not considered"
    elif graph is not None and node in graph.unvisited():
        reason = "HMP does not look at it"
    return {
        "node": node.name,
        "device": node.device or None,
        "format": node.driver,
        "included": False,
        "reason": reason,
    }


def _outcome(rehearsal: Rehearsal) -> dict[str, JSON]:
    """Describe how the command would end, in the words of its audit record."""
    outcome = rehearsal.outcome
    if isinstance(outcome, PassThrough):
        kind = "delegated" if outcome.is_delegated else "passed"
        return {"kind": kind, "reason": outcome.reason, "text": None}
    kind = "refused" if isinstance(outcome, Refusal) else "rewritten"
    return {"kind": kind, "reason": outcome.reason, "text": outcome.text}


# A load takes the VM state from one node only, so the table marks the tags that have it.
def _row(node: JSON) -> tuple[str, ...]:
    tags = ", ".join(
        _shown_tag(snapshot["name"]) + (" (VM state)" if snapshot["vm_state_size"] else "") for snapshot in node["snapshots"]
    )
    cells = (
        "takes" if node["included"] else "-",
        node["node"],
        node["device"] or "-",
        node["format"],
        size_text(node["size_bytes"]),
        "yes" if node["writable"] else "no",
        tags or "-",
        node["reason"],
    )
    return cells


def _shown_tag(tag: str) -> str:
    """Spell a tag so that a terminal shows it, even an empty one."""
    return tag if tag.isprintable() and tag else repr(tag)


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    if not rows:
        return ["There are no block nodes."]
    return aligned((_TITLES, *rows))


def _verdict(line: HMPLine, outcome: JSON) -> str:
    match outcome["kind"]:
        case "passed" | "delegated":
            return printable(f"QEMU would get the command as it is: {outcome['reason']}.")
        case "refused":
            return f"It would be refused: {harmless(outcome['text'].strip())}"
    # HMP's own text keeps its lines; only control characters in a tag or a name are spelled out.
    text = harmless(outcome["text"]).strip()
    if not text:
        condition = f", {UNLESS_DEVICES_DIFFER}" if isinstance(line.command, LoadVM) else ""
        return f'The client would get "" (success){condition}.'
    gap = "\n" if "\n" in text else " "
    return f"The client would get:{gap}{text}"

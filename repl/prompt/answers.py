"""What the prompt shows beyond QEMU's own text: the table of snapshots, a plan, and help."""

import contextlib
import json
from datetime import datetime

from repl.errors import LostError
from repl.executor import Executor
from repl.lines.lines import OWN_COMMANDS, SYNONYMS
from repl.lines.scanning import LineError
from repl.output.faults import advice
from repl.output.layout import Fragments, joined, words, wrapped
from repl.output.plan_summary import plan_summary
from repl.output.printed import Printed
from repl.output.qmp_help import qmp_help
from repl.output.show import hmp_text, qmp_reply
from repl.output.snapshot_table import snapshot_table
from repl.results import HMPResult
from shim.advice.inventory import take_inventory
from shim.advice.obstacles import obstacles
from shim.advice.vm_facts import FACT_QUERIES, read_vm_facts
from shim.graph.selection import select
from shim.hmp import render
from shim.hmp.line import HMPLine, InfoSnapshots
from shim.plans.rehearsal import Rehearsal
from shim.printable import harmless
from shim.qmp import Reply, ReturnReply, encode

__all__ = ["help_text", "hmp_printed", "plan_text", "qmp_printed", "snapshots_text"]

# Short lines for a narrow terminal, and few enough that a low one shows them all with our commands above its prompt.
_OWN_HELP = """\
Snapshots are QEMU's snapshot jobs, with the disks that the policy chooses.
info mtree | grep pci, info mtree > FILE (>> appends): to the shell, or a file.
Tab completes, Ctrl-R searches, Ctrl-D leaves, F4: vi or emacs. # is a comment.
{"execute": "query-status"} is QMP as it is sent; {…} may have several rows.
"""


async def hmp_printed(executor: Executor, line: HMPLine, result: HMPResult, *, is_raw: bool, width: int) -> Printed:
    """Return what an HMP command printed; for a person, `info snapshots` becomes a table, if QEMU still says what is in it."""
    # From 10.2 on, HMP reports it as an error if no disk can hold a snapshot; the table explains that.
    is_explained = result.text == render.no_vmstate_candidate(executor.link.version)
    if isinstance(line.command, InfoSnapshots) and (is_explained or not result.is_failure) and not is_raw:
        with contextlib.suppress(LostError):
            if (table := await snapshots_text(executor, width=width)) is not None:
                return Printed.of(table)
    kept = result.text if is_raw else result.text.replace("\r\n", "\n")
    return Printed(hmp_text(result.text, is_failure=result.is_failure), kept)


def qmp_printed(reply: Reply) -> Printed:
    """Return what a QMP command returned: JSON, whose strings are not escaped for a terminal if it goes to a file."""
    shown = qmp_reply(reply)
    return Printed(shown, json.dumps(reply.value, indent=2) + "\n") if isinstance(reply, ReturnReply) else Printed.of(shown)


async def snapshots_text(executor: Executor, *, width: int) -> Fragments | None:
    """Return the snapshots as a table for a person; None if QEMU does not describe its nodes. Raises LostError."""
    graph = await executor.block_graph()
    if graph is None:
        return None
    selection = select(graph, executor.policy)
    facts = read_vm_facts([timed.reply for timed in await executor.link.execute(FACT_QUERIES)])
    return snapshot_table(
        take_inventory(graph, selection, facts),
        obstacles=obstacles(graph, selection, facts),
        width=width,
        now=datetime.now().astimezone(),
        local_time=datetime.fromtimestamp,
    )


async def plan_text(executor: Executor, line: HMPLine, *, width: int) -> Fragments:
    """Return the plan of a snapshot command: all nodes in a table, or in words if that is too wide. Raises LinkError."""
    planned = await executor.plan(line)
    if all(len(line) <= width for line in planned.text.splitlines()):
        return [("", harmless(planned.text) + "\n")]
    now = datetime.now().astimezone()
    summary = plan_summary(
        line,
        planned.rehearsal,
        width=width,
        now=now,
        local_time=datetime.fromtimestamp,
        policy=planned.policy,
    )
    return [*summary, *_commands(planned.rehearsal, width), *advice(planned.rehearsal.faults, width)]


def _commands(rehearsal: Rehearsal, width: int) -> Fragments:
    lines = [wrapped(words("QMP commands that would run:"), width=width, indent=2)] if rehearsal.would_send else []
    for command in rehearsal.would_send:
        sent = encode({"execute": command.command, "arguments": dict(command.arguments)})
        lines.append(wrapped(words(sent), width=width, indent=4, hanging=6))
    return joined([line for wrapped_lines in lines for line in wrapped_lines])


async def help_text(executor: Executor, topic: str, *, width: int) -> Printed:
    """Return help on a command, ours or QEMU's, or a list of all; `qmp name` is for QMP's. Raises LostError.

    In the list, ours are the foot, so that they are visible above the prompt, however many commands QEMU has.
    """
    subject, *name = topic.split() or [""]
    if subject == "qmp":
        return Printed.of(await _qmp_text(executor, " ".join(name), width))
    topic = SYNONYMS.get(topic, topic)
    own = _own_text(topic)
    if own and topic not in ("", "help", "?"):
        return Printed.of(own)
    result = await executor.hmp(HMPLine.read(f"help {topic}".strip()))
    if not topic:
        heading = ("class:heading", "QEMU's monitor\n")
        foot = [("class:heading", "At this prompt\n"), ("", _OWN_HELP), *own]
        return Printed.of([heading, *hmp_text(result.text, is_failure=result.is_failure)], foot)
    if not result.text:
        return Printed.of([*own, ("class:error", f"there is no help for '{harmless(topic)}'\n")])
    return Printed.of([*own, *hmp_text(result.text, is_failure=result.is_failure)])


def _own_text(topic: str) -> Fragments:
    fragments: Fragments = []
    for command in OWN_COMMANDS:
        if topic in ("", *command.names):
            call = f"{'|'.join(command.names)} {command.arguments}".rstrip()
            fragments += [("class:tag", call), ("", f" -- {command.text}\n")]
    return fragments


async def _qmp_text(executor: Executor, name: str, width: int) -> Fragments:
    own: Fragments = []
    if not name:
        (command,) = (command for command in OWN_COMMANDS if "qmp" in command.names)
        own = [("class:tag", f"qmp {command.arguments}"), ("", f" -- {command.text}\n")]
    try:
        return [*own, *await qmp_help(executor, name, width=width)]
    except LineError as exc:
        return [("class:error", f"{harmless(exc.message)}\n")]

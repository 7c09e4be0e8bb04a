"""What the prompt answers beyond QEMU's own text: the table of snapshots, a plan, and help."""

from datetime import datetime

from repl.executor import Executor
from repl.lines import OWN_COMMANDS, SYNONYMS
from repl.output.layout import Fragments, joined, words, wrapped
from repl.output.plan_summary import plan_summary
from repl.output.qmp_help import qmp_help
from repl.output.show import hmp_text
from repl.output.snapshot_table import snapshot_table
from repl.scanning import LineError
from shim.hmp import HMPLine
from shim.inventory import obstacles, take_inventory
from shim.policy import select
from shim.printable import harmless
from shim.qmp import encode
from shim.quoting import quote_tag
from shim.rehearsal import Rehearsal

__all__ = ["help_text", "plan_text", "snapshots_text"]

_OWN_HELP = """\
savevm, loadvm, delvm and info snapshots are done by QEMU's snapshot jobs with the disks that the policy chooses.
Keys: Tab completes, Right takes the suggestion, Ctrl-R searches the history, Ctrl-C gives up the line, Ctrl-D leaves,
F4 changes between emacs and vi. A line that begins with # is a comment.
"""


async def snapshots_text(executor: Executor, *, width: int) -> Fragments | None:
    """Return the snapshots as a table for a person; None where QEMU does not tell its nodes. Raises LostError."""
    graph = await executor.block_graph()
    if graph is None:
        return None
    selection = select(graph, executor.policy)
    return snapshot_table(
        take_inventory(graph, selection),
        obstacles=obstacles(graph, selection),
        width=width,
        now=datetime.now().astimezone(),
        local_time=datetime.fromtimestamp,
        quote=_quoted,
    )


def _quoted(tag: str) -> str:
    return quote_tag(tag) or repr(tag)


async def plan_text(executor: Executor, line: HMPLine, *, width: int) -> Fragments:
    """Return the plan of a snapshot command: all nodes in a table, or in words where that is too wide. Raises LinkError."""
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
    return [*summary, *_commands(planned.rehearsal, width)]


def _commands(rehearsal: Rehearsal, width: int) -> Fragments:
    lines = [wrapped(words("QMP commands that would run:"), width=width, indent=2)] if rehearsal.would_send else []
    for command in rehearsal.would_send:
        sent = encode({"execute": command.command, "arguments": dict(command.arguments)})
        lines.append(wrapped(words(sent), width=width, indent=4, hanging=6))
    return joined([line for wrapped_lines in lines for line in wrapped_lines])


async def help_text(executor: Executor, topic: str, *, width: int) -> Fragments:
    """Return the help of a command, ours or QEMU's, or of all; `qmp name` is for QMP's. Raises LostError."""
    subject, *name = topic.split() or [""]
    if subject == "qmp":
        return await _qmp_text(executor, " ".join(name), width)
    topic = SYNONYMS.get(topic, topic)
    own = [command for command in OWN_COMMANDS if topic in ("", *command.names)]
    fragments: Fragments = []
    if not topic:
        fragments = [("class:heading", "At this prompt\n"), ("", _OWN_HELP)]
    for command in own:
        call = f"{'|'.join(command.names)} {command.arguments}".rstrip()
        fragments += [("class:tag", call), ("", f" -- {command.text}\n")]
    if own and topic not in ("", "help", "?"):
        return fragments
    result = await executor.hmp(HMPLine.read(f"help {topic}".strip()))
    if not topic:
        fragments.append(("class:heading", "QEMU's monitor\n"))
    if not result.text:
        return [*fragments, ("class:error", f"there is no help for '{harmless(topic)}'\n")]
    return [*fragments, *hmp_text(result.text, is_failure=result.is_failure)]


async def _qmp_text(executor: Executor, name: str, width: int) -> Fragments:
    own: Fragments = []
    if not name:
        (command,) = (command for command in OWN_COMMANDS if "qmp" in command.names)
        own = [("class:tag", f"qmp {command.arguments}"), ("", f" -- {command.text}\n")]
    try:
        return [*own, *await qmp_help(executor, name, width=width)]
    except LineError as exc:
        return [("class:error", f"{harmless(exc.message)}\n")]

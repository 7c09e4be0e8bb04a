"""What the toolbar shows about the VM, kept current by events, and how it fits on a narrow terminal."""

from collections.abc import Set
from dataclasses import dataclass

from prompt_toolkit.utils import get_cwidth

from repl.output.layout import Fragments, cut, joined, words, wrapped
from repl.settings.values import Question
from shim.graph.policy import Mode, Policy
from shim.hmp.line import HMPCommand, LoadVM, SaveVM
from shim.printable import printable

__all__ = ["VMStatus", "policy_text", "run_state_after", "start_line", "toolbar"]

# Event -> the run state after it (qapi/run-state.json), shown until QEMU is asked.
_RUN_STATES = {
    "STOP": "paused",
    "RESUME": "running",
    "SHUTDOWN": "shutdown",
    "SUSPEND": "suspended",
    "WAKEUP": "running",
    "GUEST_PANICKED": "guest-panicked",
}
_SEPARATOR = " │ "
# With less room than this, nobody could read what QEMU is waiting for.
_LEAST_WAITS = 12


@dataclass(frozen=True, slots=True)
class VMStatus:
    """What the toolbar shows. run_state, snapshot_count: None while unknown. is_connected: if False, the rest may be outdated.

    waits: what the prompt is waiting for, shown instead of the run state; "" for nothing.
    """

    name: str
    version: str
    run_state: str | None
    policy: str
    snapshot_count: int | None
    is_connected: bool = True
    waits: str = ""


def run_state_after(run_state: str | None, event: str, during: HMPCommand | None) -> str | None:
    """Return the run state that an event leads to. during: the snapshot command that is running, if any."""
    if event == "STOP" and isinstance(during, SaveVM | LoadVM):
        return "save-vm" if isinstance(during, SaveVM) else "restore-vm"
    return _RUN_STATES.get(event, run_state)


def policy_text(policy: Policy) -> str:
    """Describe a policy in a few words."""
    words = [policy.kind.value]
    words += [f"vmstate {pattern}" for pattern in policy.vmstate[:1]]
    words += [f"+{pattern}" for pattern in policy.include] + [f"-{pattern}" for pattern in policy.exclude]
    words += [policy.mode.value] if policy.mode is not Mode.REWRITE else []
    return " ".join(words)


def start_line(status: VMStatus, asks: Set[Question], *, width: int) -> Fragments:
    """Return the greeting: which VM this is, its QEMU's version, the policy, and how to get help.

    asks: what the prompt asks questions about; the greeting names what is missing.
    """
    policy = f"policy {printable(status.policy)}."
    told = words(f"QEMU {status.version}, {policy} Tab completes, 'help' lists all, 'exit' leaves.")
    unasked = [question.value for question in Question if question not in asks]
    if unasked:
        told += words(f"hmp-repl does not ask before: {', '.join(unasked)}.", "class:notice")
    return joined(wrapped([("class:tag", f"{printable(status.name)}:"), *told], width=width))


def toolbar(status: VMStatus, *, mode: str, width: int, hint: str = "") -> Fragments:
    """Return the toolbar; on a narrow terminal, what is needed least is left out.

    mode: the editing mode, if it is worth a word. hint: what the command being typed takes; it replaces everything that rarely
    changes.
    """
    count = status.snapshot_count
    name = cut(printable(status.name), max(1, width - 1)) or "…"
    state = (status.run_state or "…") if status.is_connected else "not connected"
    room = width - _width([("", name), ("", "")])
    if status.waits and room >= _LEAST_WAITS:
        state = cut(printable(status.waits), room)
    pieces = [
        ("class:toolbar.name", name),
        (_state_style(state), state),
        ("", "… snapshots" if count is None else f"{count} snapshot{'s' * (count != 1)}"),
        ("", f"QEMU {status.version}"),
        ("", f"policy {status.policy}"),
        ("", mode),
    ]
    if hint:
        return _toolbar_with(hint, [piece for piece in (pieces[0], pieces[1], pieces[5]) if piece[1]], width)
    kept = [piece for piece in pieces if piece[1]]
    while len(kept) > 1 and _width(kept) > width:
        kept.pop()
    # Shown in another order than that in which they are dropped.
    return _joined([piece for piece in (pieces[0], pieces[3], pieces[1], pieces[4], pieces[2], pieces[5]) if piece in kept])


def _toolbar_with(hint: str, pieces: Fragments, width: int) -> Fragments:
    """Put the hint after as many of the pieces as leave it half the width, which on a narrow terminal may be none."""
    kept = list(pieces)
    while kept and _width(kept) > width // 2:
        kept.pop()
    room = width - (_width(kept) + len(_SEPARATOR) if kept else 1)
    return _joined([*kept, ("class:toolbar.hint", cut(printable(hint), max(1, room)))])


def _joined(pieces: Fragments) -> Fragments:
    fragments: Fragments = []
    for style, text in pieces:
        fragments += [("", _SEPARATOR if fragments else " "), (style, text)]
    return fragments


def _state_style(state: str) -> str:
    return "class:toolbar.running" if state == "running" else "class:toolbar.stopped"


def _width(pieces: Fragments) -> int:
    return 1 + sum(get_cwidth(text) for _, text in pieces) + len(_SEPARATOR) * (len(pieces) - 1)

"""What the toolbar tells of the VM, kept current by events, and how it fits a narrow terminal."""

from dataclasses import dataclass

from prompt_toolkit.utils import get_cwidth

from repl.output.layout import Fragments, cut
from shim.hmp import HMPCommand, LoadVM, SaveVM
from shim.policy import Mode, Policy
from shim.printable import printable

__all__ = ["VMStatus", "policy_text", "run_state_after", "toolbar"]

# Event -> the run state after it (qapi/run-state.json), until QEMU is asked.
_RUN_STATES = {
    "STOP": "paused",
    "RESUME": "running",
    "SHUTDOWN": "shutdown",
    "SUSPEND": "suspended",
    "WAKEUP": "running",
    "GUEST_PANICKED": "guest-panicked",
}
_SEPARATOR = " │ "


@dataclass(frozen=True, slots=True)
class VMStatus:
    """run_state, snapshot_count: None while it is not known. is_connected: False when the rest is what was last seen."""

    name: str
    version: str
    run_state: str | None
    policy: str
    snapshot_count: int | None
    is_connected: bool = True


def run_state_after(run_state: str | None, event: str, during: HMPCommand | None) -> str | None:
    """Return the run state that an event leads to. during: the snapshot command that runs, if one does."""
    if event == "STOP" and isinstance(during, SaveVM | LoadVM):
        return "save-vm" if isinstance(during, SaveVM) else "restore-vm"
    return _RUN_STATES.get(event, run_state)


def policy_text(policy: Policy) -> str:
    """Name a policy in a few words."""
    words = [policy.kind.value]
    words += [f"vmstate {pattern}" for pattern in policy.vmstate[:1]]
    words += [f"+{pattern}" for pattern in policy.include] + [f"-{pattern}" for pattern in policy.exclude]
    words += [policy.mode.value] if policy.mode is not Mode.REWRITE else []
    return " ".join(words)


def toolbar(status: VMStatus, *, mode: str, width: int) -> Fragments:
    """Return the toolbar; what is least needed is left out where the terminal is narrow.

    mode: the editing mode, if it is worth a word.
    """
    count = status.snapshot_count
    state = (status.run_state or "…") if status.is_connected else "not connected"
    pieces = [
        ("class:toolbar.name", cut(printable(status.name), max(1, width - 1)) or "…"),
        (_state_style(state), state),
        ("", "… snapshots" if count is None else f"{count} snapshot{'s' * (count != 1)}"),
        ("", f"QEMU {status.version}"),
        ("", f"policy {status.policy}"),
        ("", mode),
    ]
    kept = [piece for piece in pieces if piece[1]]
    while len(kept) > 1 and _width(kept) > width:
        kept.pop()
    # Told in another order than they are given up.
    order = [piece for piece in (pieces[0], pieces[3], pieces[1], pieces[4], pieces[2], pieces[5]) if piece in kept]
    fragments: Fragments = []
    for style, text in order:
        fragments += [("", _SEPARATOR if fragments else " "), (style, text)]
    return fragments


def _state_style(state: str) -> str:
    return "class:toolbar.running" if state == "running" else "class:toolbar.stopped"


def _width(pieces: Fragments) -> int:
    return 1 + sum(get_cwidth(text) for _, text in pieces) + len(_SEPARATOR) * (len(pieces) - 1)

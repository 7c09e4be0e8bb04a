"""How far a tool is on its way from HMP to QMP, told from the commands that it used."""

from collections.abc import Sequence

from audit.reporting.report import Blocker, CommandUse, State
from shim.hmp.replacements import REPLACEMENTS, Replacement

__all__ = ["COVERED_COMMANDS", "DONE_BY_QMP", "blockers", "hmp_replacement", "state"]

# What the shim does with QMP's commands, by the names that `hmp_command` of a record has.
COVERED_COMMANDS = frozenset({"savevm", "loadvm", "delvm", "info snapshots"})
# What our prompt does by QMP, it does on a QEMU without HMP too, whatever the person has typed.
DONE_BY_QMP = {name: REPLACEMENTS[name].commands[0] for name in COVERED_COMMANDS}


def hmp_replacement(hmp_command: str) -> Replacement | None:
    """Look up a command by the name that a record has for it. None for what is not in the table."""
    return REPLACEMENTS.get(hmp_command)


def blockers(commands: Sequence[CommandUse], reasons: dict[str, str]) -> tuple[Blocker, ...]:
    """Find what the shim does not do for a tool. reasons: why a command was passed to QEMU, for those that were."""
    return tuple(
        Blocker(use.name, _advice(use, reasons))
        for use in commands
        if use.is_hmp and (use.name not in COVERED_COMMANDS or _is_never_done(use))
    )


def state(commands: Sequence[CommandUse], found: Sequence[Blocker]) -> State:
    if found:
        return State.BLOCKED
    return State.COVERED if any(use.is_hmp for use in commands) else State.MODERN


def _is_never_done(use: CommandUse) -> bool:
    """Tell whether QEMU had to do it every time. `info snapshots` it does itself where the answer would be the same."""
    return use.name != "info snapshots" and use.passed == use.count


def _advice(use: CommandUse, reasons: dict[str, str]) -> str:
    if use.name in COVERED_COMMANDS:
        return f"QEMU got it as it was: {reasons.get(use.name, '')}"
    if use.replacement is None:
        return "not an HMP command known here"
    return f"use QMP: {use.replacement}" if use.replacement.commands else str(use.replacement)

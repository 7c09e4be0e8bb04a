"""How far a tool is on its way from HMP to QMP, judging by the commands that it used."""

from collections.abc import Sequence

from audit.reporting.report import Blocker, CommandUse, State
from shim.hmp.replacements import REPLACEMENTS, Replacement

__all__ = ["COVERED_COMMANDS", "DONE_BY_QMP", "blockers", "hmp_replacement", "state"]

# The commands that the shim does with QMP, by their names in `hmp_command` of a record.
COVERED_COMMANDS = frozenset({"savevm", "loadvm", "delvm", "info snapshots"})
# What our prompt does with QMP also works on a QEMU without HMP, whatever the person typed.
DONE_BY_QMP = {name: REPLACEMENTS[name].commands[0] for name in COVERED_COMMANDS}


def hmp_replacement(hmp_command: str) -> Replacement | None:
    """Return the replacement for a command, by its name in a record; None if the table has none."""
    return REPLACEMENTS.get(hmp_command)


def blockers(commands: Sequence[CommandUse], reasons: dict[str, str]) -> tuple[Blocker, ...]:
    """Return what the shim does not do for a tool. reasons: command name to why it was passed to QEMU, for those that were."""
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
    """Return whether QEMU had to do it every time; except for `info snapshots`, which QEMU gets if its answer is the same."""
    return use.name != "info snapshots" and use.passed == use.count


def _advice(use: CommandUse, reasons: dict[str, str]) -> str:
    if use.name in COVERED_COMMANDS:
        return f"QEMU got it as it was: {reasons.get(use.name, '')}"
    if use.replacement is None:
        return "not an HMP command known here"
    return f"use QMP: {use.replacement}" if use.replacement.commands else str(use.replacement)

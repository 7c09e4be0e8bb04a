"""Mode "enforce": which HMP commands still pass, and what to say to the others."""

from collections.abc import Set

from shim import hmp
from shim.replacements import Replacement, replacement

__all__ = ["refusal"]


def refusal(command_line: str, allow: Set[str]) -> str | None:
    """Say why a command line that the shim does not do itself is refused, naming what to use instead; None if it passes.

    allow: names of commands; "info" allows all its topics, "info block" one.
    """
    name, topic = hmp.command_name(command_line), hmp.info_topic(command_line)
    full_name = hmp.full_name(command_line)
    if not name or name in allow or full_name in allow or hmp.is_about_snapshots(command_line):
        return None
    return f"HMP command '{full_name}' is not allowed here; {_hint(replacement(name, topic))}"


def _hint(instead: Replacement | None) -> str:
    if instead is None:
        return "it is not known to QMP either"
    return f"use QMP: {instead}" if instead.commands else f"it has {instead}"

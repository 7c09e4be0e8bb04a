"""Mode "enforce": which HMP commands still pass, and what to say to the others."""

from collections.abc import Set

from shim.hmp.line import HMPLine
from shim.hmp.replacements import Replacement, replacement

__all__ = ["refusal"]


def refusal(line: HMPLine, allow: Set[str]) -> str | None:
    """Return why a line that the shim does not handle itself is refused, and what to use instead; None if it passes.

    allow: names of commands; "info" allows all its topics, "info block" only that one.
    """
    if not line.name or line.name in allow or line.full_name in allow or line.is_about_snapshots:
        return None
    return f"HMP command '{line.full_name}' is not allowed here; {_hint(replacement(line.name, line.topic))}"


def _hint(instead: Replacement | None) -> str:
    if instead is None:
        return "QMP has no such command either"
    return f"use QMP: {instead}" if instead.commands else f"it has {instead}"

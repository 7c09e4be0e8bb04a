"""The names and arguments of the two QMP commands that a proxy answers itself (shim/decisions/beside.py).

They are separate from their answers, because every client's command is compared with the names, and the answers import half of
the package.
"""

from collections.abc import Mapping
from typing import Final

from shim.qmp import JSON

__all__ = ["OWN_COMMANDS", "PLAN", "QUERY_PROXY", "argument_error"]

QUERY_PROXY: Final = "__hmpshim_query-proxy"
PLAN: Final = "__hmpshim_plan"
OWN_COMMANDS: Final = frozenset({QUERY_PROXY, PLAN})
# Command -> its arguments: the type, QEMU's word for it, and whether it must be given.
_ARGUMENTS: Final[Mapping[str, Mapping[str, tuple[type, str, bool]]]] = {
    QUERY_PROXY: {"is-prompt": (bool, "boolean", False)},
    PLAN: {"command-line": (str, "string", True)},
}


def argument_error(command: str, arguments: Mapping[str, JSON]) -> str | None:
    """Return what is wrong with the arguments, in QEMU's words for its own commands; None if nothing is."""
    known = _ARGUMENTS[command]
    for name, (kind, word, is_needed) in known.items():
        if name not in arguments:
            if is_needed:
                return f"Parameter '{name}' is missing"
        elif type(arguments[name]) is not kind:
            return f"Invalid parameter type for '{name}', expected: {word}"
    unexpected = next((name for name in arguments if name not in known), None)
    return None if unexpected is None else f"Parameter '{unexpected}' is unexpected"

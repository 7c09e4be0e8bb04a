"""QMP commands as a client spells them, decoded."""

from typing import Any

__all__ = ["hmp_message", "message"]


def message(execute: str, **arguments: Any) -> dict[str, Any]:
    """Return a command. An argument's `_` stands for `-`."""
    given = {name.replace("_", "-"): value for name, value in arguments.items()}
    return {"execute": execute, "arguments": given} if given else {"execute": execute}


def hmp_message(line: str) -> dict[str, Any]:
    return message("human-monitor-command", command_line=line)

"""One record of a command as an example: only what its QMP is made from, because one is kept for each command of each tool."""

from typing import Final

from audit.reporting.parties import VM
from audit.reporting.ready import Example
from shim.qmp import JSON

__all__ = ["example_of"]

# More disks than a person would read.
_MOST_NODES: Final = 64


def example_of(record: dict[str, JSON], vm: VM) -> Example | None:
    """Return a record as an example; None if texts in it were cut, or if it has no command line."""
    command_line = record["command_line"]
    if command_line is None or record.get("cut"):
        return None
    rehearsed = record.get("rehearsed")
    sent = rehearsed.get("qmp") if isinstance(rehearsed, dict) else record["qmp"]
    vmstate = record.get("vmstate")
    return Example(
        vm,
        command_line,
        nodes=tuple(node["node"] for node in record["nodes"][:_MOST_NODES] if _is_included(node)),
        vmstate=vmstate.get("node") if isinstance(vmstate, dict) else None,
        sent=tuple(
            (one["execute"], one.get("arguments"))
            for one in (sent if isinstance(sent, list) else ())
            if isinstance(one, dict) and str(one.get("execute")).startswith("snapshot-")
        ),
    )


def _is_included(node: JSON) -> bool:
    return isinstance(node, dict) and node.get("included") is True and isinstance(node.get("node"), str)

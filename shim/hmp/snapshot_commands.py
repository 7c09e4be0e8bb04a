"""QMP's own snapshot commands: what a tool sends that needs no HMP."""

from collections.abc import Mapping

from shim.qmp import JSON

__all__ = ["is_modern"]

# qapi/migration.json has the jobs, qapi/block-core.json the rest.
_COMMANDS = frozenset(
    (
        *("snapshot-save", "snapshot-load", "snapshot-delete"),
        *("blockdev-snapshot-internal-sync", "blockdev-snapshot-delete-internal-sync"),
        *("blockdev-snapshot", "blockdev-snapshot-sync"),
    )
)


# A team that has moved to them shows up in the report as done, so they are on record although nothing is changed about them.
def is_modern(message: Mapping[str, JSON]) -> bool:
    """Tell whether a client's command is one of them, or a `transaction` (qapi/transaction.json) with one of them."""
    match message:
        case {"execute": str(name)} if name in _COMMANDS:
            return True
        case {"execute": "transaction", "arguments": {"actions": list(actions)}}:
            return any(isinstance(action, dict) and action.get("type") in _COMMANDS_OF_TRANSACTIONS for action in actions)
    return False


_COMMANDS_OF_TRANSACTIONS = [name for name in _COMMANDS if not name.startswith("snapshot-")]

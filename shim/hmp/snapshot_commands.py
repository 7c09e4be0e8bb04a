"""QMP's own snapshot commands: what a tool sends that no longer needs HMP."""

from collections.abc import Mapping

from shim.qmp import JSON

__all__ = ["is_modern"]

# The jobs are in qapi/migration.json, the rest in qapi/block-core.json.
_COMMANDS = frozenset(
    (
        *("snapshot-save", "snapshot-load", "snapshot-delete"),
        *("blockdev-snapshot-internal-sync", "blockdev-snapshot-delete-internal-sync"),
        *("blockdev-snapshot", "blockdev-snapshot-sync"),
    )
)


# These commands are recorded although they are passed unchanged, so that the report can show which teams have moved to them.
def is_modern(message: Mapping[str, JSON]) -> bool:
    """Return whether a client's command is one of these, or a `transaction` (qapi/transaction.json) with one of them."""
    match message:
        case {"execute": str(name)} if name in _COMMANDS:
            return True
        case {"execute": "transaction", "arguments": {"actions": list(actions)}}:
            return any(isinstance(action, dict) and action.get("type") in _COMMANDS_OF_TRANSACTIONS for action in actions)
    return False


_COMMANDS_OF_TRANSACTIONS = [name for name in _COMMANDS if not name.startswith("snapshot-")]

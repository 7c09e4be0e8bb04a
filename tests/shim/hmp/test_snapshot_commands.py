"""Which QMP commands are snapshot commands already."""

from typing import Any

import pytest

from shim.hmp.snapshot_commands import is_modern


def transaction(*types: object) -> dict[str, Any]:
    return {"execute": "transaction", "arguments": {"actions": [{"type": name, "data": {}} for name in types]}}


@pytest.mark.parametrize(
    "message",
    [
        {"execute": "snapshot-save", "arguments": {"tag": "t"}},
        {"execute": "snapshot-load"},
        {"execute": "snapshot-delete"},
        {"execute": "blockdev-snapshot-internal-sync"},
        {"execute": "blockdev-snapshot-delete-internal-sync"},
        {"execute": "blockdev-snapshot-sync"},
        {"execute": "blockdev-snapshot"},
        transaction("abort", "blockdev-snapshot-internal-sync"),
        transaction("blockdev-snapshot-sync"),
    ],
)
def test_modern(message: dict[str, Any]) -> None:
    assert is_modern(message)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"execute": 5},
        {"execute": ["snapshot-save"]},
        {"exec-oob": "snapshot-save"},
        {"execute": "query-status"},
        {"execute": "human-monitor-command", "arguments": {"command-line": "savevm t"}},
        transaction(),
        transaction("drive-backup"),
        transaction("snapshot-save"),
        transaction(["blockdev-snapshot"]),
        {"execute": "transaction"},
        {"execute": "transaction", "arguments": []},
        {"execute": "transaction", "arguments": {"actions": {}}},
        {"execute": "transaction", "arguments": {"actions": ["blockdev-snapshot"]}},
    ],
)
def test_not_modern(message: dict[str, Any]) -> None:
    assert not is_modern(message)

"""What counts as the same thing in two reports, or in two scans.

A key has no count, time, machine or user in it: a tool that is accepted is accepted wherever it runs.
"""

import hashlib
import json
from typing import TypeAlias

__all__ = ["Key", "failure_key", "fingerprint", "overwriting_key", "place_key", "silent_key", "switch_key", "use_key"]

Key: TypeAlias = tuple[str, ...]


def use_key(tool: str, command: str) -> Key:
    """Return the key of an HMP command that a tool uses. tool: its name."""
    return "hmp", tool, command


def failure_key(tool: str, text: str) -> Key:
    return "failure", tool, text


def silent_key(tool: str, command: str) -> Key:
    return "silent", tool, command


def overwriting_key(tool: str, vm: str) -> Key:
    return "overwritten", tool, vm


def switch_key(why: str) -> Key:
    return "differs", why


def place_key(path: str, command: str, source: str) -> Key:
    """Return the key of a scan's finding. Lines move, so it has the text of the line instead of its number."""
    return "source", path, command, source


def fingerprint(key: Key) -> str:
    """Return a key as 32 hexadecimal digits, for programs that identify findings by a text."""
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]

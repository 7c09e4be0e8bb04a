"""What is the same thing in two reports, or in two scans.

A key has no count and no time. Nor has it a machine or a user: a tool that is accepted is accepted wherever it runs.
"""

import hashlib
import json
from typing import TypeAlias

__all__ = ["Key", "failure_key", "fingerprint", "overwriting_key", "place_key", "silent_key", "switch_key", "use_key"]

Key: TypeAlias = tuple[str, ...]


def use_key(tool: str, command: str) -> Key:
    """An HMP command that a tool uses; the tool by its name."""
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
    """A finding of a scan. Lines move, so it is known by what stands in the line."""
    return "source", path, command, source


def fingerprint(key: Key) -> str:
    """Return 32 hexadecimal digits for programs that keep findings apart by a text."""
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]

"""Bounds for the texts that clients choose: a record has a long text's beginning, its length and its SHA-256.

Otherwise twelve commands of 360 KB would push the history out of a log that is rotated by size. No proof is lost: the checksum
shows whether a text that somebody presents is the one that was sent.

It works on the members of a record as shim.records.audit_form's `to_members` returns them, before masking, which takes time for
each word. It goes through all members, so that none can be forgotten.
"""

from collections.abc import Mapping
from hashlib import sha256

from shim.qmp import JSON

__all__ = ["MAX_TEXT_CHARS", "excerpt"]

# Longer than savevm with the longest tag that HMP takes (1023 bytes), and than most of what HMP prints.
MAX_TEXT_CHARS = 2048


def excerpt(members: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return a record's members with each text cut to MAX_TEXT_CHARS; `cut` lists those that were longer."""
    if not _has_long_text(members):
        return dict(members)
    cuts: list[JSON] = list(members["cut"])
    shortened = {name: _shortened(value, name, cuts) for name, value in members.items()}
    return shortened | {"cut": cuts}


def _has_long_text(value: JSON) -> bool:
    """Return whether there is anything to cut. Mostly there is not, and this check takes half the time."""
    if isinstance(value, str):
        return len(value) > MAX_TEXT_CHARS
    if isinstance(value, dict):
        return any(map(_has_long_text, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_long_text, value))


def _shortened(value: JSON, path: str, cuts: list[JSON]) -> JSON:
    match value:
        case str():
            if len(value) <= MAX_TEXT_CHARS:
                return value
            # A lone surrogate cannot be encoded as UTF-8, but JSON can spell one.
            whole = sha256(value.encode(errors="surrogatepass")).hexdigest()
            cuts.append({"member": path, "characters": len(value), "sha256": whole})
            return value[:MAX_TEXT_CHARS]
        case dict():
            return {name: _shortened(item, f"{path}.{name}", cuts) for name, item in value.items()}
        case list() | tuple():
            return [_shortened(item, f"{path}[{number}]", cuts) for number, item in enumerate(value)]
    return value

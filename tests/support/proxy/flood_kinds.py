"""What a client can send, over and over, to hurt the proxy or the others."""

from dataclasses import dataclass
from typing import Final

__all__ = ["KIB", "KINDS", "LONG_ID", "MIB", "SCHEMA", "STATUS", "STOPPED_KINDS", "TERMS", "Kind"]

KIB: Final = 1024
MIB: Final = 1024 * KIB
STATUS: Final = b'{"execute":"query-status"}\n'
SCHEMA: Final = b'{"execute":"query-qmp-schema"}\n'


@dataclass(frozen=True, slots=True)
class Kind:
    """data: sent over and over, after `first` once. oob: whether it has OOB. terms: what it may do, see TERMS."""

    data: bytes
    oob: bool = False
    first: bytes = b""
    terms: str = "all"


def command(text: bytes) -> bytes:
    return b'{"execute":"query-name","arguments":{"a":"' + text + b'"}}\n'


def _listed(item: bytes, count: int) -> bytes:
    return b"[" + b",".join([item] * count) + b"]"


# What a proxy is told about what clients may do.
TERMS: Final = {
    "all": (),
    "read-only": ("--role", "read-only"),
    "deny": ("--rule", "deny blockdev-backup, object-add: monitor-*"),
}
# Without OOB its answer is the proxy's own.
LONG_ID: Final = b'{"exec-oob":"q","id":"' + b"x" * 900_000 + b'"}'

KINDS: Final = {
    "plain commands": Kind(STATUS * 4000),
    "HMP commands": Kind(b'{"execute":"human-monitor-command","arguments":{"command-line":"info version"}}\n' * 1000),
    "out-of-band commands": Kind(b'{"exec-oob":"query-yank"}\n' * 4000, oob=True),
    "denied out-of-band commands": Kind(b'{"exec-oob":"q"}\n' * 8000, oob=True, terms="read-only"),
    "closing brackets": Kind(b"}" * (256 * KIB)),
    "brackets": Kind(b'{"execute":"x","arguments":{"a":[' + b"[]," * (2 * MIB) + b"[]]}}\n"),
    "arrays": Kind((_listed(b"0", 32_000) * 5)[: 256 * KIB]),
    "ids of 20,000 tokens": Kind(b'{"execute":"query-status","id":%b}\n' % _listed(b"0", 10_000) * 20),
    "transactions of 10,000 actions": Kind(
        b'{"execute":"transaction","arguments":{"actions":%b}}\n' % _listed(b'{"type":"ab"}', 10_000), terms="deny"
    ),
    "a string of 16 MiB": Kind(command(b"a" * (16 * MIB - 100))),
    "wide characters": Kind(command("\U0001f600".encode() * (4 * MIB - 100))),
    "a string without end": Kind(b'{"a":"' + b"a" * MIB),
    "long replies": Kind(SCHEMA * 2000),
    "errors after an unanswered command": Kind(SCHEMA.rstrip() + b"} " * 65536),
}
# What the proxy answers itself, or keeps, while QEMU does nothing.
STOPPED_KINDS: Final = {
    "long answers of the proxy's own": Kind(LONG_ID, first=STATUS),
    "long out-of-band commands": Kind(LONG_ID, oob=True, first=b'{"exec-oob":"q"}' * 8),
}

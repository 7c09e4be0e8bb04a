"""What legacy clients write, byte for byte: every spelling of a command that was seen in one.

The clients are named where only one or a few have the shape.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from tests.support.raw_client import NO_ID, command_bytes
from tests.support.streams import NESTED_1024, STREAMS, STREAMS_FROM_11_1

__all__ = ["CONVERSATIONS", "Conversation", "Part", "command", "hmp"]


@dataclass(frozen=True, slots=True)
class Part:
    """What a client writes at once, and how many replies it waits for then."""

    data: bytes
    replies: int = 1


Conversation: TypeAlias = tuple[Part, ...]

command = command_bytes


def hmp(line: str, id: object = NO_ID) -> bytes:
    return command_bytes("human-monitor-command", {"command-line": line}, id)


# Each does what a snapshot tool does: it saves (over itself), loads, deletes, and fails; and it asks for more.
LINES: Final = ("savevm a", "savevm a", "loadvm a", "delvm a", "loadvm a", "delvm a", "info name", "nosuch", "savevm a b")
MESSAGES: Final[tuple[dict[str, Any], ...]] = (
    {"execute": "qmp_capabilities"},
    *({"execute": "human-monitor-command", "arguments": {"command-line": line}} for line in LINES),
    {"execute": "human-monitor-command", "arguments": {"command-line": "savevm b", "cpu-index": 0}},
    {"execute": "human-monitor-command", "arguments": {"command-line": "delvm b", "cpu-index": 7}},
    {"execute": "human-monitor-command", "arguments": {"command-line": "delvm b"}},
    {"execute": "query-status"},
    {"execute": "query-jobs"},
    {"execute": "query-block"},
    {"execute": "no-such-command", "arguments": {"a": "\u00e9"}},
    {"execute": "cont"},
)

# Values as clients spell them: QEMU gives an id back in its own spelling.
IDS: Final = (
    b"0", b"-1", b"1.0", b"0.1", b"1e3", b"-0", b"18446744073709551615", b"123456789012345678901234567890", b"null", b"true",
    b"false", b'""', b'"\\u00e9\\ud83d\\ude00\\u0000\\u007f\\/"', b"'it\\'s'", b'"\xc3\xa9\x7f"', b"[]", b"{}",
    b'[1,{"a":[null]}]', b'{"a":{"b":-0.5}}', b"[[[]]]",
)  # fmt: skip


def _each(spell: Any) -> Conversation:
    return tuple(Part(spell(dict(message), number)) for number, message in enumerate(MESSAGES))


def _compact(message: Mapping[str, Any], _: int) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def _sorted(message: Mapping[str, Any], _: int) -> bytes:
    return json.dumps(message, separators=(",", ":"), sort_keys=True).encode()


def _indented(message: Mapping[str, Any], _: int) -> bytes:
    return json.dumps(message, indent=4, sort_keys=True).encode() + b"\n"


def _numbered(message: Mapping[str, Any], number: int) -> bytes:
    return json.dumps({**message, "id": number}).encode() + b"\r\n"


def _with_pid(message: Mapping[str, Any], number: int) -> bytes:
    arguments = message.get("arguments", {})
    return json.dumps({"execute": message["execute"], "id": f"4711:{number}", "arguments": arguments}).encode()


def _single_quoted(message: Mapping[str, Any], _: int) -> bytes:
    return json.dumps(message).replace('"', "'").encode() + b"\n"


def _mixed_quotes(message: Mapping[str, Any], _: int) -> bytes:
    text = json.dumps(message, indent=1).replace('": "', "\": '").replace('",\n', "',\n").replace('"\n', "'\n")
    return text.encode() + b"\n\n"


def _with_ids() -> Conversation:
    parts = [Part(command("qmp_capabilities", id="negotiated"))]
    for id in IDS:
        for body in (
            b'"execute":"human-monitor-command","arguments":{"command-line":"delvm none"}',
            b'"execute":"human-monitor-command","arguments":{"command-line":"loadvm none"}',
            b'"execute":"query-name"', b'"execute":"nosuch"', b'"execute":5', b'"bogus":1',
        ):  # fmt: skip
            parts += [Part(b"{" + body + b',"id":' + id + b"}"), Part(b'{"id": ' + id + b" ," + body + b"}\n")]
    return tuple(parts)


def _malformed() -> Conversation:
    """All known malformed streams between good commands, each brought to an end by FF (qmp-spec.rst, "QGA Synchronization")."""
    good = hmp("savevm a", id=1) + command("query-name", id=2)
    parts = [Part(command("qmp_capabilities"))]
    for stream, given in STREAMS + STREAMS_FROM_11_1:
        if len(stream) < 1000 and not any(isinstance(item, dict) for item in given):
            parts += [Part(stream, 0), Part(b"\xff\n", 0)]
    parts += [Part(good, 0), Part(NESTED_1024, 0), Part(b"\xff\n" + hmp("delvm a", id="end"))]
    return tuple(parts)


BEFORE_NEGOTIATION: Final = (
    command("query-status"), hmp("savevm a", id=1), b"{}", b"[]", b'"x"', b"5\n", b"nul\n", b'{"execute":5}',
    b'{"execute":"x","id":[1]}', b'{"arguments":{}}', b'{"exec-oob":"query-yank"}', b'{"arguments":5}',
    b'{"execute":"qmp_capabilities","arguments":{"enable":["nope"]}}',
    b'{"execute":"qmp_capabilities","arguments":{"enable":5}}', b'{"execute":"qmp_capabilities","arguments":[]}',
    b'{"execute":"qmp_capabilities","arguments":{"enable":[5]}}', b'{"execute":"qmp_capabilities","arguments":{"x":1}}',
    b'{"execute":"qmp_capabilities","bogus":1}', b'{"execute":"qmp_capabilities","exec-oob":"x"}',
)  # fmt: skip

NEGOTIATE: Final = command("qmp_capabilities")
CONVERSATIONS: Final[dict[str, Conversation]] = {
    "compact, no line end (multipass, UTM, qemu.qmp)": _each(_compact),
    "sorted keys, no line end (lima, go-qemu)": _each(_sorted),
    "indented by 4, sorted keys (older multipass)": _each(_indented),
    "single quotes (iotests)": _each(_single_quoted),
    "mixed quotes over many lines (iotests)": _each(_mixed_quotes),
    "integer ids from 0, CR LF (avatar2)": _each(_numbered),
    "PID:N ids, empty arguments (Proxmox)": _each(_with_pid),
    "ids of every type": _with_ids(),
    "all in one write": (Part(b"".join(_compact(message, 0) for message in MESSAGES), len(MESSAGES)),),
    "byte by byte": (*(Part(bytes([byte]), 0) for byte in NEGOTIATE + hmp("savevm a")), Part(b"{'execute':'query-name'}", 3)),
    "before negotiation": (*(Part(data) for data in BEFORE_NEGOTIATION), Part(NEGOTIATE), Part(hmp("delvm a"))),
    "negotiates twice": (Part(NEGOTIATE), Part(NEGOTIATE), Part(NEGOTIATE + hmp("delvm none"), 2)),
    "out-of-band": (
        Part(command("qmp_capabilities", {"enable": ["oob"]}, id=0)),
        Part(b'{"exec-oob":"query-yank","id":1}'), Part(b'{"exec-oob":"query-name","id":2}'), Part(b'{"exec-oob":5,"id":3}'),
        Part(b'{"exec-oob":"query-yank"}'), Part(b'{"execute":"x","exec-oob":"y","id":4}'), Part(hmp("savevm a", id=5)),
        Part(b'{"exec-oob":"query-yank","control":{"run-oob":true},"id":6}'), Part(hmp("delvm a", id="x")),
    ),
    "out-of-band in one write": (
        Part(command("qmp_capabilities", {"enable": ["oob"]}, id=0) + b'{"exec-oob":"query-yank","id":1}', 2),
        Part(hmp("delvm a")),
    ),
    "out-of-band that was not enabled": (Part(NEGOTIATE), Part(b'{"exec-oob":"query-yank","id":1}'), Part(b'{"exec-oob":5}')),
    "malformed input between good commands": _malformed(),
}  # fmt: skip

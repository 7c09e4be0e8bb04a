"""Commands that end a VM or make another monitor, in a great many spellings, among harmless ones."""

import json
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from shim.rules.rules import Rule

__all__ = ["HARMLESS_NAMES", "RULES", "cut", "forbidden_streams"]

RULES: Final = (
    Rule.deny("quit", "object-add: monitor-*", "human-monitor-command: quit", name="rule 1"),
    Rule.allow("*", name="rule 2"),
)
FORBIDDEN: Final[tuple[dict[str, Any], ...]] = (
    {"execute": "quit"},
    {"execute": "quit", "arguments": {}},
    {"execute": "x-quit"},
    {"execute": "query-status", "exec-oob": "quit"},
    {"exec-oob": "quit"},
    {"execute": "object-add", "arguments": {"qom-type": "monitor-qmp", "id": "m", "chardev": "c"}},
    {"execute": "object_add", "arguments": {"qom-type": "monitor-hmp"}},
    {"execute": "transaction", "arguments": {"actions": [{"type": "abort"}, {"type": "quit"}]}},
    *(
        {"execute": "human-monitor-command", "arguments": {"command-line": line}}
        for line in (
            *("quit", "q", " \tquit", "q  ", "quit x", "quit/x", "q\n", "object_add monitor-hmp,id=m", "", " "),
            *("object_add rng-builtin,id=r,qom-type=monitor-hmp", 'object_add "monitor-hmp,id=m"'),
            *("object_add\tqom-type=monitor-qmp", 'object_add {"qom-type": "monitor-qmp"}'),
        )
    ),
    {"execute": "human-monitor-command", "arguments": {"command-line": "q", "cpu-index": 0}},
    {"execute": "human-monitor-command", "arguments": {"command-line": "q", "x": 0}},
    {"execute": "human-monitor-command", "arguments": {"command-line": ["q"]}},
    {"execute": "human-monitor-command", "arguments": {"command-line": "q"}, "y": 1},
)
HARMLESS: Final = (b'{"execute": "query-status"}\r\n', b'{"execute":"query-name"}', b'{"execute": "query-name", "id": 7}\n')
# So much that the proxy does not look into every string of the command (proxy/qmp_json/shorten.py).
_LONG: Final = "x" * 1_100_000
HARMLESS_NAMES: Final = frozenset({"query-status", "query-name"})


def forbidden_streams(seed: int, count: int = 40) -> Iterator[bytes]:
    """Yield what a client could send to smuggle one of them in. It follows from the seed."""
    rng = random.Random(seed)
    for _ in range(count):
        parts: list[bytes] = []
        for _ in range(rng.randint(1, 6)):
            command = dict(rng.choice(FORBIDDEN))
            if rng.random() < 0.01:
                command["id"] = _LONG
            elif rng.random() < 0.5:
                command["id"] = rng.choice((1, "a", None, {"execute": "query-status"}))
            spelled = _spell(rng, command)
            if rng.random() < 0.1:
                spelled = _with_duplicate(rng, spelled)
            parts += [rng.choice(HARMLESS)] * rng.randint(0, 3) + [spelled.encode()]
        yield rng.choice((b"", b"\n", b" ")).join(parts)


def cut(rng: random.Random, data: bytes) -> Iterator[bytes]:
    """Cut what is sent into reads, or leave it whole."""
    places = sorted({0, len(data), *(rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 0, 1, 5))))})
    return (data[start:end] for start, end in pairwise(places))


def _spell(rng: random.Random, value: Any) -> str:
    """Spell a value with random escapes, quotes, blanks and order of keys."""
    blank = rng.choice(("", "", " ", "\n    ", "\t \r\n"))
    match value:
        case dict():
            members = list(value.items())
            rng.shuffle(members)
            inner = f",{blank}".join(f"{_spell(rng, name)}{blank}:{blank}{_spell(rng, member)}" for name, member in members)
            return f"{{{blank}{inner}{blank}}}"
        case list():
            return f"[{blank}{f',{blank}'.join(_spell(rng, item) for item in value)}{blank}]"
        case str():
            return _spell_text(rng, value, quote=rng.choice(('"', '"', "'")))
    return json.dumps(value)


def _spell_text(rng: random.Random, text: str, *, quote: str) -> str:
    """Spell a string in one of the many ways that QEMU reads alike."""
    spelled = []
    is_escaped = len(text) < 1000 and rng.random() < 0.1
    for char in text:
        if char in "\"\\'" or char < " " or is_escaped:
            spelled.append(f"\\u{ord(char):04x}")
        elif rng.random() < 0.15 and len(text) < 1000:
            spelled.append(f"\\u{ord(char):04{rng.choice('xX')}}")
        else:
            spelled.append(f"\\{char}" if char == "/" else char)
    return f"{quote}{''.join(spelled)}{quote}"


def _with_duplicate(rng: random.Random, spelled: str) -> str:
    """Say another name first or last; QEMU takes no object with a key twice."""
    extra = '"execute":"query-name"'
    return f"{{{extra},{spelled[1:]}" if rng.random() < 0.5 else f"{spelled[:-1]},{extra}}}"

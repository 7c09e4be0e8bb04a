"""QEMU's pretty form of its messages. The bytes are QEMU 7.2's; test_pretty_on_qemu.py compares many more with the real one."""

import random
from typing import Any, Final

import pytest

from proxy.qmp_json.indentation import Indenter
from shim.qmp import encode, encode_pretty

MESSAGES: Final = {
    "empty object": (b'{"return": {}}\r\n', b'{\r\n    "return": {\r\n    }\r\n}\r\n'),
    "empty list": (b'{"return": []}\r\n', b'{\r\n    "return": [\r\n    ]\r\n}\r\n'),
    "empty string": (b'{"return": "", "id": null}\r\n', b'{\r\n    "return": "",\r\n    "id": null\r\n}\r\n'),
    "event": (
        b'{"timestamp": {"seconds": 17, "microseconds": 71219}, "event": "STOP"}\r\n',
        b'{\r\n    "timestamp": {\r\n        "seconds": 17,\r\n        "microseconds": 71219\r\n    },\r\n'
        b'    "event": "STOP"\r\n}\r\n',
    ),
    "lists in lists": (
        b'{"id": [[], [[]], [1, {"a": []}]]}\r\n',
        b'{\r\n    "id": [\r\n        [\r\n        ],\r\n        [\r\n            [\r\n            ]\r\n        ],\r\n'
        b'        [\r\n            1,\r\n            {\r\n                "a": [\r\n                ]\r\n            }\r\n'
        b"        ]\r\n    ]\r\n}\r\n",
    ),
    "numbers as they are": (
        b'{"id": [inf, -0, 18446744073709551615, 0.10000000000000001]}\r\n',
        b'{\r\n    "id": [\r\n        inf,\r\n        -0,\r\n        18446744073709551615,\r\n'
        b"        0.10000000000000001\r\n    ]\r\n}\r\n",
    ),
    "brackets in strings": (
        b'{"a{}[], \\"": "\\u00E9\\r\\n, {\\\\", "\\\\": true}\r\n',
        b'{\r\n    "a{}[], \\"": "\\u00E9\\r\\n, {\\\\",\r\n    "\\\\": true\r\n}\r\n',
    ),
}
# For random values.
STRINGS: Final = ["", "a", "\\", '"', '\\"', "{", "}, {", "[]", ", ", ": ", "\r\n", "é", "😀", "x" * 50]


def indented(*pieces: bytes) -> bytes:
    indenter = Indenter()
    return b"".join(map(indenter.receive_data, pieces))


@pytest.mark.parametrize("name", MESSAGES)
def test_message(name: str) -> None:
    """However it is cut."""
    message, pretty = MESSAGES[name]
    assert indented(message) == pretty
    assert indented(*(bytes([byte]) for byte in message)) == pretty
    for first in range(len(message)):
        for second in range(first, len(message)):
            pieces = (message[:first], message[first:second], message[second:])
            assert indented(*filter(None, pieces)) == pretty


def a_value(rng: random.Random, depth: int = 0) -> Any:
    match rng.randrange(6 if depth < 5 else 4):
        case 0:
            return rng.choice([None, True, False])
        case 1:
            return rng.choice([0, -7, 2**63, 1.5])
        case 2 | 3:
            return "".join(rng.choices(STRINGS, k=rng.randrange(3)))
        case 4:
            return [a_value(rng, depth + 1) for _ in range(rng.randrange(4))]
        case _:
            return {rng.choice(STRINGS) + str(number): a_value(rng, depth + 1) for number in range(rng.randrange(4))}


def test_random_messages_in_random_pieces() -> None:
    rng = random.Random("indentation")
    for _ in range(300):
        values = [{"return": a_value(rng)} for _ in range(rng.randrange(1, 4))]
        data = "".join(encode(value) + "\r\n" for value in values).encode()
        pretty = "".join(encode_pretty(value) + "\r\n" for value in values).encode()
        pieces = []
        while data:
            size = rng.choice([1, 2, 3, 10, 100])
            pieces.append(data[:size])
            data = data[size:]
        assert indented(*pieces) == pretty


def test_long_list_of_numbers() -> None:
    """It is too long to be remembered."""
    value = {"return": list(range(1000))}
    assert indented(encode(value).encode()) == encode_pretty(value).encode()


def test_what_comes_is_handed_on_at_once() -> None:
    """A message may be long, and its client is waiting for it."""
    indenter = Indenter()
    assert indenter.receive_data(b'{"return": "a') == b'{\r\n    "return": "a'
    assert indenter.receive_data(b"b" * 100_000) == b"b" * 100_000
    assert indenter.receive_data(b"\\") == b""
    assert indenter.receive_data(b'"{') == b'\\"{'
    assert indenter.receive_data(b'", ') == b'",\r\n    '


def test_depth_that_no_message_of_qemu_has() -> None:
    deep = 1000
    lines = [b"    " * depth + b"[" for depth in range(deep)] + [b"    " * depth + b"]" for depth in reversed(range(deep))]
    assert indented(b"[" * deep + b"]" * deep) == b"\r\n".join(lines)

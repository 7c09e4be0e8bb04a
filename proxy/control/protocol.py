"""The protocol of the control sockets: a line of JSON that asks, and a line of JSON that answers. No I/O.

{"command": "status", "vm": "vm1"}          {"return": {"version": ..., "vms": [...]}}
{"command": "pause", "vm": "vm1"}           {"error": "..."}
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from shim.qmp import JSON

__all__ = [
    "MOST_REQUEST_BYTES",
    "RefusedError",
    "Request",
    "read_answer",
    "read_request",
    "spell_pieces",
    "spell_refusal",
    "spell_request",
    "spell_return",
    "spell_text_in_pieces",
]

# Enough for a VM's name and a number or two; names are short.
MOST_REQUEST_BYTES: Final = 4096


class RefusedError(Exception):
    """The request is refused."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request. members: all but the command. `text`, `number` and `flag` read them, and raise RefusedError."""

    command: str
    members: dict[str, JSON] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """Return a string; None if it was not given."""
        value = self.members.get(name)
        if value is None or isinstance(value, str):
            return value
        raise RefusedError(f"'{name}' is not a string")

    def number(self, name: str) -> float | None:
        """Return a number greater than 0; None if it was not given."""
        value = self.members.get(name)
        if value is None or (type(value) in (int, float) and 0 < value < float("inf")):
            return value
        raise RefusedError(f"'{name}' is not a number greater than 0")

    def flag(self, name: str) -> bool:
        """Return a boolean; False if it was not given."""
        value = self.members.get(name, False)
        if isinstance(value, bool):
            return value
        raise RefusedError(f"'{name}' is neither true nor false")


def read_request(line: bytes) -> Request:
    """Parse a request. Raises RefusedError."""
    try:
        members = json.loads(line)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict) or not isinstance(command := members.pop("command", None), str):
        raise RefusedError('this is not a request; send a line such as {"command": "status"}')
    return Request(command, members)


def spell_request(request: Request) -> bytes:
    """Return a request as a line."""
    members = {name: value for name, value in request.members.items() if value is not None}
    return json.dumps({"command": request.command, **members}).encode() + b"\n"


def spell_return(value: JSON) -> bytes:
    """Return a result as a line."""
    return json.dumps({"return": value}).encode() + b"\n"


def spell_pieces(first: dict[str, JSON], name: str, values: Iterable[JSON]) -> Iterator[bytes]:
    """Yield a result in pieces: an object with the members of `first`, and the values as the list of that name."""
    yield b'{"return": ' + json.dumps(first).encode()[:-1] + b", " + json.dumps(name).encode() + b": ["
    separator = b""
    for value in values:
        yield separator + json.dumps(value).encode()
        separator = b", "
    yield b"]}}\n"


def spell_text_in_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a result in pieces that is a text in pieces."""
    yield b'{"return": "'
    for piece in pieces:
        yield json.dumps(piece.decode())[1:-1].encode()
    yield b'"}\n'


def spell_refusal(refused: RefusedError) -> bytes:
    """Return a refusal as a line."""
    return json.dumps({"error": str(refused)}).encode() + b"\n"


def read_answer(line: bytes) -> JSON:
    """Return the result in an answer. Raises RefusedError if the request was refused, and ValueError if it is not an answer."""
    match json.loads(line):
        case {"return": value}:
            return value
        case {"error": str(text)}:
            raise RefusedError(text)
    raise ValueError("this is not an answer from hmp-proxy")

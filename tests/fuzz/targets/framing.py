"""A client's stream: every path and every cut gives the same commands and errors, and QEMU would read the same commands.

The first byte chooses the QEMU, the limits, and where the stream is cut; the rest is the stream.
"""

import itertools
import random
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from proxy.qmp_json import framing
from proxy.qmp_json.framing import Command, CommandFramer, Malformed
from proxy.qmp_json.limits import MAX_BLANK_BYTES, QEMU_LIMITS, Limits
from shim.qmp import JSON
from tests.fakes.wire import Framer
from tests.support.streams import FAMILIES, SNIPPETS, read_all

__all__ = ["COVERS", "WORDS", "check"]

COVERS: Final = ("proxy/qmp_json/*",)
WORDS: Final = (
    *SNIPPETS,
    *b'{"execute":"stop"} "arguments": "human-monitor-command" getfd add-fd \\u0000 \\ud800'.split(),
    *b"18446744073709551616 -9223372036854775809 1e999".split(),
    *(b'"%b"' % (b"x" * 80), b"'%b'" % (b"\\u0041" * 90), b"1" * 70, "é😀".encode() * 12),
    *(b'"command-line":"savevm a"', b'{"execute": "query-status", "id": 1}\r\n'),
)
# So low that short streams reach them. A longer number or keyword in one read is not tried: no read has 64 MiB.
_SMALL_LIMITS: Final = Limits(token_bytes=80, tokens=20, nesting=4)
_LONG_TOKEN: Final = re.compile(rb"[0-9a-zA-Z.+-]{80}")
_TOO_MANY_BYTES: Final = "JSON token size limit exceeded"
_PLACE: Final = re.compile(r"\d+:\d+: ")
_PIECES: Final = 4
# The proxy looks for no longer name.
_LONGEST_NAME_CHARS: Final = 50
_LONG_BYTES: Final = 96
_BLANKS: Final = b" \t\r\n"
_INTEGERS: Final = range(-(2**63), 2**64)
_SPECIAL: Final = frozenset(("human-monitor-command", "query-jobs", "qmp_capabilities", "getfd", "add-fd"))

_Items = list[Command | Malformed]


def check(data: bytes) -> None:
    """Fail unless all ways to read the stream agree."""
    if not data:
        return
    choice, stream = data[0], data[1:]
    version = FAMILIES[choice & 1]
    limits = _SMALL_LIMITS if choice & 2 and not _LONG_TOKEN.search(stream) else QEMU_LIMITS

    def read(*pieces: bytes) -> _Items:
        framer = CommandFramer(version, limits)
        return [item for piece in pieces for item in read_all(framer, piece)]

    whole = read(stream)
    for pieces in (_bytewise(stream), _cut(stream, random.Random(choice), _PIECES)):
        cut = read(*pieces)
        assert _values(cut) == _values(whole), f"in pieces {_values(cut)}, in one {_values(whole)}"
        _check_raws(cut, whole, stream)
    with _everything_is_long():
        _check_shortened(read(*_bytewise(stream)), whole)
    for item in whole:
        if isinstance(item, Malformed):
            item.desc.encode()
    raws = [item.raw for item in whole if isinstance(item, Command)]
    assert _values(read(*raws)) == _values(item for item in whole if isinstance(item, Command)), "QEMU would read another thing"
    _check_cut_by_hand(whole)
    _check_count(stream, CommandFramer(version, limits), CommandFramer(version, limits))


def _bytewise(stream: bytes) -> list[bytes]:
    """Cut a stream into its bytes; of a long one, which would take long, many pieces are enough."""
    if len(stream) > _LONG_BYTES:
        return _cut(stream, random.Random(len(stream)), _LONG_BYTES // 2)
    return [stream[at : at + 1] for at in range(len(stream))]


def _cut(stream: bytes, rng: random.Random, pieces: int) -> list[bytes]:
    places = sorted(rng.randrange(len(stream) + 1) for _ in range(pieces - 1))
    return [stream[begin:end] for begin, end in itertools.pairwise([0, *places, len(stream)])]


def _values(items: Iterable[Command | Malformed]) -> list[str]:
    """Return what was read, so that 1 is not 1.0.

    Where a token is cut for its length, the column of what touches it depends on the reads (proxy/qmp_json/position.py), so
    places are left out from there on.
    """
    values: list[str] = []
    is_placed = True
    for item in items:
        if isinstance(item, Command):
            values.append(repr(item.message))
            continue
        values.append(item.desc if is_placed else _PLACE.sub("", item.desc))
        is_placed = is_placed and item.desc != _TOO_MANY_BYTES
    return values


def _check_raws(cut: _Items, whole: _Items, stream: bytes) -> None:
    raws = [[item.raw for item in items if isinstance(item, Command)] for items in (cut, whole)]
    assert [raw.strip(_BLANKS) for raw in raws[0]] == [raw.strip(_BLANKS) for raw in raws[1]]
    # Of more blanks some are dropped, and of those about an error; it depends on the cut which.
    is_whole = all(isinstance(item, Command) for item in whole)
    if is_whole and sum(byte in _BLANKS for byte in stream) <= MAX_BLANK_BYTES:
        assert b"".join(raws[0]).rstrip(_BLANKS) == b"".join(raws[1]).rstrip(_BLANKS)


@contextmanager
def _everything_is_long() -> Iterator[None]:
    """Have all long tokens shortened, as those of a long value are."""
    settings = vars(framing)
    usual = settings["LONG_VALUE_BYTES"]
    settings["LONG_VALUE_BYTES"] = 0
    try:
        yield
    finally:
        settings["LONG_VALUE_BYTES"] = usual


def _check_shortened(short: _Items, whole: _Items) -> None:
    """What is judged by a shorter value has the same bytes, errors and names."""
    assert len(short) == len(whole), f"shortened {_values(short)}, whole {_values(whole)}"
    for one, other in zip(short, whole, strict=True):
        if isinstance(one, Malformed) or isinstance(other, Malformed):
            assert _PLACE.sub("", _values([one])[0]) == _PLACE.sub("", _values([other])[0])
            continue
        assert one.raw.strip(_BLANKS) == other.raw.strip(_BLANKS)
        name = other.message.get("execute")
        if not one.is_cut:
            assert _values([one]) == _values([other])
        elif isinstance(name, str) and len(name) <= _LONGEST_NAME_CHARS:
            assert one.message["execute"] == name


def _check_cut_by_hand(whole: _Items) -> None:
    """Compare with a reader that shares no code with the one under test."""
    commands = [item for item in whole if isinstance(item, Command)]
    seen = [_with_floats(value) for _, value in Framer().feed(b"".join(command.raw for command in commands))]
    assert seen == [_with_floats(command.message) for command in commands], "a command hides in another"


def _with_floats(value: JSON) -> JSON:
    """Return the value with QEMU's floating-point numbers where an integer is too large."""
    if isinstance(value, dict):
        return {key: _with_floats(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_with_floats(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and value not in _INTEGERS:
        return float(value) if abs(value) < 1 << 1023 else float("inf") * (1 if value > 0 else -1)
    return value


def _check_count(stream: bytes, counting: CommandFramer, reading: CommandFramer) -> None:
    """What is only counted is what is read, and has nothing in it that matters to the proxy."""
    count = counting.count_plain(stream, len(stream))
    if not count:
        return
    commands = read_all(reading, stream)
    assert len(commands) == count
    for command in commands:
        assert isinstance(command, Command)
        assert command.message["execute"] not in _SPECIAL
        assert not command.message["execute"].startswith("__hmpshim_")
        assert command.message.keys() <= {"execute", "id"}
    # Both are at the same place now, and say so in an error of what follows.
    assert read_all(counting, b"\n}") == read_all(reading, b"\n}")

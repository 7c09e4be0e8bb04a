"""Long values are judged by short tokens in place of long ones: with the same result, and less memory."""

import random
import tracemalloc
from zlib import crc32

import pytest

from proxy.qmp_json import framing, shorten
from proxy.qmp_json.framing import Command, CommandFramer, Malformed
from proxy.qmp_json.limits import Limits
from proxy.qmp_json.shorten import Skeleton, _shorten
from shim.qmp import QEMUVersion
from tests.support.routing.pure_router import NAME, Desk
from tests.support.streams import FAMILIES, OLDER, SNIPPETS, read_all

PARTS = (
    "abc", "\\n", "\\\\", '\\"', "\\u00e9", "\\ud83d\\ude00", "\u00e9", "\u20ac", "\U0001f600", " ", "{", "}",
)  # fmt: skip
WRONG = (b"\\x", b"\xff", b"\\ud800", b"\\uffff", b"\xed\xa0\x80", b"\xe2\x82", "\ufdd0".encode())


def spelled(found: list[Command | Malformed]) -> list[object]:
    return [item.raw if isinstance(item, Command) else item.desc for item in found]


@pytest.mark.parametrize("character", ["\u00e9", "\u20ac", "\U0001f600"])
def test_long_string_is_taken_in_parts_between_its_characters(character: str) -> None:
    content = (character * 60_000 + "a").encode()
    source = bytearray(b'"%b"' % content)
    assert _shorten(source, 0, len(source)) == b'" %08x %d"' % (crc32(content), len(source))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have everything taken for long."""
    monkeypatch.setattr(framing, "LONG_VALUE_BYTES", 0)
    monkeypatch.setattr(framing, "LONG_TOKEN_BYTES", 3)
    monkeypatch.setattr(shorten, "_LONG_ESCAPED_TOKEN_BYTES", 6)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("version", FAMILIES, ids=str)
def test_strings_are_judged_alike(version: QEMUVersion, seed: int, tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    inside = b"".join(rng.choice(PARTS).encode() for _ in range(rng.randrange(1, 400)))
    if seed % 2:
        at = rng.randrange(len(inside))
        inside = inside[:at] + rng.choice(WRONG) + inside[at:]
    stream = b'{"a":["' + inside + b'",{"b":1}],"a%s":123456789}' % (b"" if seed % 5 == 0 else b"x")
    limits = Limits(tokens=200, token_bytes=1 << 20)
    framer = CommandFramer(version, limits)
    short = spelled(read_all(framer, stream[:9]) + read_all(framer, stream[9:]))
    monkeypatch.setattr(framing, "LONG_VALUE_BYTES", 1 << 30)
    framer = CommandFramer(version, limits)
    assert short == spelled(read_all(framer, stream[:9]) + read_all(framer, stream[9:]))


@pytest.mark.parametrize("seed", range(80))
@pytest.mark.parametrize("version", FAMILIES, ids=str)
def test_random_streams_are_judged_alike(version: QEMUVersion, seed: int, tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    stream = b"".join(rng.choice(SNIPPETS) for _ in range(rng.randrange(1, 12)))
    cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(3))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    def found() -> list[object]:
        framer = CommandFramer(version, Limits(tokens=20, token_bytes=1 << 20))
        return spelled([item for piece in pieces for item in read_all(framer, piece)])

    short = found()
    monkeypatch.setattr(framing, "LONG_VALUE_BYTES", 1 << 30)
    assert short == found()


def test_long_string_is_cut_in_the_message_and_whole_in_the_bytes() -> None:
    framer = CommandFramer(OLDER)
    raw = b'{"execute":"x","arguments":{"a":"' + b"y" * (2 << 20) + b'"}}'
    (command,) = [item for at in range(0, len(raw), 4096) for item in read_all(framer, raw[at : at + 4096])]
    assert isinstance(command, Command)
    assert (command.raw, command.is_cut) == (raw, True)
    assert command.message["arguments"]["a"].startswith("y" * 16)
    assert len(command.message["arguments"]["a"]) < 100


def test_names_are_never_cut_however_they_are_spelled() -> None:
    escaped = "".join(f"\\u{ord(char):04x}" for char in "human-monitor-command").encode()
    held = bytearray(b'"' + escaped + b'"')
    skeleton = Skeleton()
    assert skeleton.shorten(held, len(held)) == held
    assert not skeleton.is_cut


def test_value_of_too_many_short_strings_is_too_long() -> None:
    framer = CommandFramer(OLDER, Limits())
    piece = b'"' + b"\\n" * 200 + b'",'
    found = read_all(framer, b'{"execute":"x","arguments":[')
    for _ in range(100):
        found += read_all(framer, piece * 100)
    assert isinstance(found[0], Malformed)
    assert found[0].desc == "JSON token size limit exceeded"


@pytest.mark.parametrize(
    "beginning",
    [
        b'{"execute":"human-monitor-command","arguments":{"command-line":"savevm t"},"id":"',
        b'{"exec-oob":"query-yank","id":"',
        b'{"execute":"snapshot-save","arguments":{},"id":"',
        b'{"execute":"__hmpshim_plan","arguments":{},"id":"',
    ],
)
def test_command_that_is_looked_into_must_not_be_so_long(beginning: bytes) -> None:
    desk = Desk()
    client = desk.client(oob=True)
    desk.send(client, beginning + b"i" * (3 << 19))
    desk.send(client, b"i" * (1 << 20))
    desk.send(client, b'"}')
    (answer,) = desk.heard(client)
    assert answer["error"]["desc"] == "JSON token size limit exceeded"
    assert desk.written() == b""
    desk.send(client, NAME)
    assert desk.written() == NAME


def test_different_strings_stay_different() -> None:
    held = bytearray(b'"' + b"x" * 100 + b'1"')
    skeleton = Skeleton()
    first = skeleton.shorten(held, len(held))
    held[-2:-1] = b"2"
    assert first != skeleton.shorten(held, len(held))
    assert Skeleton().shorten(bytearray(b"1" * 100), 100) == b"1"


@pytest.mark.parametrize("fill", [b"a", "\U0001f600".encode(), b"\\n"], ids=repr)
def test_long_value_takes_little_more_memory_than_its_bytes(fill: bytes) -> None:
    framer = CommandFramer(OLDER, Limits())
    size = 1 << 20
    piece = fill * (65536 // len(fill))
    tracemalloc.start()
    try:
        read_all(framer, b'{"execute":"x","arguments":{"a":"')
        for _ in range(size // len(piece)):
            read_all(framer, piece)
        (command,) = read_all(framer, b'"}}')
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(command, Command)
    assert peak < 3 * size


@pytest.mark.parametrize("version", FAMILIES, ids=str)
@pytest.mark.parametrize(
    "wrong",
    [b"s" * 100, b"s" * 3000, b"s" * 100 + b"1", b"1" * 100 + b"e5e5", b"1" * 100 + b"-1"],
    ids=lambda part: repr(part[-9:]),
)
def test_long_token_that_is_wrong_makes_no_command(
    version: QEMUVersion, wrong: bytes, tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands for it neither is right nor goes on with what comes after it."""

    def found() -> list[object]:
        framer = CommandFramer(version, Limits(tokens=20, token_bytes=1 << 20))
        return spelled(read_all(framer, b'{"a":[') + read_all(framer, wrong + b"]}"))

    short = found()
    monkeypatch.setattr(framing, "LONG_VALUE_BYTES", 1 << 30)
    assert short == found()
    assert all(isinstance(item, str) for item in short)

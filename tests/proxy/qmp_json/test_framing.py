"""CommandFramer: where commands end, QEMU's errors for the rest, and `raw`."""

import json
import random
from collections.abc import Iterable, Iterator

import pytest

from proxy.qmp_json.framing import Command, CommandFramer, Malformed
from proxy.qmp_json.limits import MAX_BLANK_BYTES, QEMU_LIMITS, Limits
from shim.qmp import QEMUVersion
from tests.support.streams import (
    FAMILIES,
    NESTED_1024,
    NEWEST,
    NO_OBJECT,
    OLDER,
    SNIPPETS,
    STREAMS,
    STREAMS_FROM_11_1,
    read_all,
)

EXPECTING_VALUE = "JSON parse error, expecting value"
TOO_MANY_BYTES = "JSON token size limit exceeded"


def values(found: Iterable[Command | Malformed]) -> list[object]:
    return [item.message if isinstance(item, Command) else item.desc for item in found]


def held_bytes(framer: CommandFramer) -> int:
    """Return how much of a value that is not complete is held."""
    return len(framer._held)


def fed(pieces: Iterable[bytes], limits: Limits = QEMU_LIMITS, version: QEMUVersion = OLDER) -> list[Command | Malformed]:
    framer = CommandFramer(version, limits)
    return [item for piece in pieces for item in read_all(framer, piece)]


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


def raw_of(found: Iterable[Command | Malformed]) -> bytes:
    return b"".join(item.raw for item in found if isinstance(item, Command))


@pytest.mark.parametrize(("stream", "expected"), STREAMS, ids=lambda part: repr(part)[:60])
def test_stream_gives_what_qemu_gives(stream: bytes, expected: list[object]) -> None:
    assert repr(values(fed([stream]))) == repr(expected)  # repr: 1 is not 1.0
    assert repr(values(fed(bytewise(stream)))) == repr(expected)


@pytest.mark.parametrize(("stream", "expected"), STREAMS_FROM_11_1, ids=lambda part: repr(part)[:60])
def test_stream_gives_what_qemu_11_1_gives(stream: bytes, expected: list[object]) -> None:
    assert values(fed([stream], version=NEWEST)) == expected
    assert values(fed(bytewise(stream), version=NEWEST)) == expected


@pytest.mark.parametrize("version", FAMILIES, ids=str)
@pytest.mark.parametrize(
    "stream", [stream for stream, _ in STREAMS + STREAMS_FROM_11_1 if len(stream) < 100], ids=lambda part: repr(part)[:60]
)
def test_every_split_gives_the_same(stream: bytes, version: QEMUVersion) -> None:
    whole = values(fed([stream], version=version))
    for cut in range(len(stream)):
        assert values(fed([stream[:cut], stream[cut:]], version=version)) == whole


def test_plain_commands_are_counted_and_their_lines_too() -> None:
    """QEMU 11.1 says where in the stream an error is, also after commands that nobody looked into."""
    framer = CommandFramer(NEWEST)
    two = b'{"execute": "stop"}\n{"execute": "cont", "id": 1}\r\n'
    assert framer.count_plain(two, 1) == 0
    assert framer.count_plain(two, 2) == 2
    assert framer.count_plain(b'{"execute": "getfd"}', 9) == 0
    assert values(read_all(framer, b" ]\n")) == ["3:2: JSON parse error, expecting value"]


@pytest.mark.parametrize("version", FAMILIES, ids=str)
def test_every_split_in_three_gives_the_same_bytes_too(version: QEMUVersion) -> None:
    stream = b' {"a":"\xc3\xa9\\"}"}\r\n{}# x\n {\'b\':[1.5e1,tru' + b'e]} 5 [] \n{"c":"\\ud83d\\ude00"}'
    whole = fed([stream], version=version)
    for first in range(len(stream)):
        for second in range(first, len(stream)):
            split = fed([stream[:first], stream[first:second], stream[second:]], version=version)
            assert values(split) == values(whole)
            assert raw_of(split) == raw_of(whole)


class TestRaw:
    def test_a_read_of_one_command_is_not_copied(self) -> None:
        data = b'{"execute":"query-status"}\r\n'
        (command,) = fed([data])
        assert isinstance(command, Command)
        assert command.raw is data

    def test_blanks_before_a_command_are_its_own(self) -> None:
        assert raw_of(fed([b"{}\n", b"\r\n"])) == b"{}\n"
        assert [item.raw for item in fed([b"{}\n", b"\r\n", b" {} "]) if isinstance(item, Command)] == [b"{}\n", b"\r\n {} "]

    @pytest.mark.parametrize("pieces", [[b"{} {}\n{}\n"], [b"{", b"} {}\n{", b"}\n"]])
    def test_line_end_belongs_to_its_command_and_other_blanks_to_the_next(self, pieces: list[bytes]) -> None:
        """A line's end may be what somebody between us and QEMU waits for."""
        assert [item.raw for item in fed(pieces) if isinstance(item, Command)] == [b"{}", b" {}\n", b"{}\n"]

    def test_line_end_after_a_command_in_pieces_is_its_own(self) -> None:
        assert [item.raw for item in fed([b"{", b"}\r\n", b"{}"]) if isinstance(item, Command)] == [b"{}\r\n", b"{}"]

    def test_non_ascii_text_counts_in_bytes(self) -> None:
        stream = '{"a":"é😀"} {"b":"ü"}\n'.encode()
        assert [item.raw for item in fed([stream]) if isinstance(item, Command)] == [
            '{"a":"é😀"}'.encode(),
            ' {"b":"ü"}\n'.encode(),
        ]

    def test_malformed_parts_are_left_out(self) -> None:
        for pieces in ([b'{} # x "\n{"a":#} {}'], bytewise(b'{} # x "\n{"a":#} {}')):
            assert raw_of(fed(pieces)) == b"{} \n {}"

    def test_blanks_without_commands_are_not_kept_for_ever(self) -> None:
        framer = CommandFramer(OLDER)
        for _ in range(1000):
            read_all(framer, b" \n" * 100)
        (command,) = read_all(framer, b"{}")
        assert isinstance(command, Command)
        assert command.raw == (b" \n" * 100)[:MAX_BLANK_BYTES] + b"{}"


class TestPromptness:
    def test_error_comes_with_the_offending_byte(self) -> None:
        assert values(fed([b'{"a":"x\x01'])) == ["JSON parse error, stray '\"x\x01'"]
        assert values(fed([b'{"a":-x'])) == ["JSON parse error, stray '-x'"]

    def test_grammar_is_judged_at_the_closing_bracket(self) -> None:
        assert values(fed([b'{"a" "b" [1 2'])) == []

    def test_qemu_11_1_judges_each_token(self) -> None:
        assert values(fed([b'{"a" "b" [1 2'], version=NEWEST)) == ["1:6: JSON parse error, expecting ':'"]
        assert values(fed([b'{"a":tru'], version=NEWEST)) == []  # the keyword has no end yet

    def test_scalars_without_end_wait_for_it(self) -> None:
        assert values(fed([b"12", b"3"])) == []
        assert values(fed([b"12", b"3", b"\n"])) == [NO_OBJECT]

    def test_held_bytes_are_those_of_the_incomplete_value(self) -> None:
        framer = CommandFramer(OLDER)
        read_all(framer, b'{} \n {"a":')
        assert held_bytes(framer) == len(b'{"a":')
        read_all(framer, b"1}")
        assert held_bytes(framer) == 0
        read_all(framer, b'{"a":# x')
        assert held_bytes(framer) == 0


class TestLimits:
    def test_limits_are_qemus(self) -> None:
        assert (QEMU_LIMITS.token_bytes, QEMU_LIMITS.tokens, QEMU_LIMITS.nesting) == (64 << 20, 2 << 20, 1 << 10)

    def test_a_string_of_64_mib_is_cut_there(self) -> None:
        piece = b"x" * (1 << 20)
        found = fed([b'{"a":"', *[piece] * 64, b"5\n"])
        # With the quote the last x is one byte too much; what follows is a token of its own.
        assert values(found) == [TOO_MANY_BYTES, NO_OBJECT]

    def test_nesting_of_1024_is_allowed(self) -> None:
        assert len(fed([NESTED_1024])) == len(fed(bytewise(NESTED_1024))) == 1
        assert isinstance(fed([NESTED_1024])[0], Command)

    def test_nesting_of_1025_is_answered_at_its_bracket_and_then_for_each_left(self) -> None:
        stream = b'{"a":' + b"[" * 1024 + b"]" * 1024 + b"}"
        expected = ["JSON nesting depth limit exceeded", *[EXPECTING_VALUE] * 1025]
        assert values(fed([stream])) == values(fed(bytewise(stream))) == expected

    @pytest.mark.parametrize("stream", [b"[" * 1025 + b"]" * 1025, b"[" * 1025 + b"#", b"[" * 1030 + b"1,]#\n"], ids=len)
    def test_qemu_11_1_passes_over_what_nests_too_deep(self, stream: bytes) -> None:
        for pieces in ([stream], bytewise(stream)):
            assert values(fed([*pieces, b"\n{}"], version=NEWEST)) == ["JSON nesting depth limit exceeded", {}]

    def test_many_brackets_side_by_side_are_no_nesting(self) -> None:
        stream = b'{"a":[' + b",".join([b"[]"] * 3000) + b"]}"
        assert isinstance(fed([stream])[0], Command)

    @pytest.mark.parametrize("piece_bytes", [1, 7, 1000])
    def test_tokens_are_counted(self, piece_bytes: int) -> None:
        limits = Limits(token_bytes=1 << 20, tokens=50, nesting=10)
        inside = b'{"a" : [' + b"1, " * 21 + b'"x" ]}'  # 50 tokens
        above = b'{"a" : [' + b"1, " * 22 + b"1]}"  # 51
        assert isinstance(fed(cut(inside, piece_bytes), limits)[0], Command)
        for version in FAMILIES:
            assert values(fed(cut(above, piece_bytes), limits, version)) == ["JSON token count limit exceeded"]
        spoilt = above.replace(b"1", b"tru", 1)
        expected = ["1:9: JSON parse error, invalid keyword 'tru'"]
        assert values(fed(cut(spoilt, piece_bytes), limits, NEWEST)) == expected

    @pytest.mark.parametrize("piece_bytes", [1, 7, 1000])
    def test_bytes_of_tokens_are_counted_but_not_blanks(self, piece_bytes: int) -> None:
        limits = Limits(token_bytes=40, tokens=1000, nesting=10)
        inside = b'{ "a" :\n "' + b"x" * 26 + b'" ' + b" " * 100 + b',"b":""}'
        assert values(fed(cut(inside, piece_bytes), limits)) == [TOO_MANY_BYTES, EXPECTING_VALUE]
        assert isinstance(fed(cut(inside.replace(b"x", b"", 3), piece_bytes), limits)[0], Command)

    @pytest.mark.parametrize("piece_bytes", [1, 7, 1000])
    @pytest.mark.parametrize("filler", [b"x", b"\\n", b"x\\n"], ids=repr)
    def test_a_token_too_long_is_cut_where_it_is_too_long(self, filler: bytes, piece_bytes: int) -> None:
        limits = Limits(token_bytes=20, tokens=1000, nesting=10)
        stream = b'"' + (filler * 20)[:20] + b"[]\n"
        assert values(fed(cut(stream, piece_bytes), limits)) == [TOO_MANY_BYTES, NO_OBJECT]

    @pytest.mark.parametrize("piece_bytes", [1, 7, 1000])
    @pytest.mark.parametrize("digit", [b"7", b"a"])
    def test_a_number_or_keyword_too_long_is_cut_too(self, digit: bytes, piece_bytes: int) -> None:
        limits = Limits(token_bytes=20, tokens=1000, nesting=10)
        # 21 bytes are too many; what follows is a token of its own.
        stream = digit * 21 + b"[]\n"
        assert values(fed(cut(stream, piece_bytes), limits)) == [TOO_MANY_BYTES, NO_OBJECT]


class TestBlanksInside:
    @pytest.mark.parametrize("version", FAMILIES, ids=str)
    def test_blanks_without_end_are_not_held_for_ever(self, version: QEMUVersion) -> None:
        framer = CommandFramer(version)
        blanks = b" " * (1 << 20)
        for _ in range(QEMU_LIMITS.inner_blank_bytes >> 20):
            assert read_all(framer, blanks if held_bytes(framer) else b"{" + blanks) == []
        assert values(read_all(framer, blanks)) == [TOO_MANY_BYTES]
        for _ in range(20):
            assert read_all(framer, blanks) == []
            assert held_bytes(framer) == 0

    @pytest.mark.parametrize("version", FAMILIES, ids=str)
    def test_tokens_that_straddle_the_reads_make_no_difference(self, version: QEMUVersion) -> None:
        framer = CommandFramer(version)
        read_all(framer, b'["a')
        found: list[Command | Malformed] = []
        while not found:
            found = read_all(framer, b'",' + b"\n" * (1 << 20) + b'"a')
            assert held_bytes(framer) < QEMU_LIMITS.inner_blank_bytes + (3 << 20)
        assert values(found)[0] == TOO_MANY_BYTES

    def test_an_indented_command_of_some_mib_comes_through(self) -> None:
        stream = json.dumps({"a": ["b"] * 120_000}, indent=16).encode()
        assert raw_of(fed(cut(stream, 1 << 18))) == stream
        assert raw_of(fed([stream])) == stream


def cut(stream: bytes, piece_bytes: int) -> Iterator[bytes]:
    for at in range(0, len(stream), piece_bytes):
        yield stream[at : at + piece_bytes]


@pytest.mark.parametrize("piece_bytes", [100, 4096, 1 << 30])
@pytest.mark.parametrize("long", ["x" * 50_000, "\n" * 30_000, "é\t" * 9_000, "\\" * 3_000], ids=lambda part: repr(part)[:4])
def test_long_strings_come_through(long: str, piece_bytes: int) -> None:
    for ascii_only in (True, False):
        stream = json.dumps({"a": [long, "b", long]}, ensure_ascii=ascii_only).encode() + b"\n"
        (command,) = fed(cut(stream, piece_bytes))
        assert command == Command(stream, {"a": [long, "b", long]})


@pytest.mark.parametrize("piece_bytes", [1, 100, 4096, 1 << 30])
def test_large_arrays_come_through(piece_bytes: int) -> None:
    message = {"a": [{"k": f"v{n}", "n": -n, "f": n / 8, "t": [True, None]} for n in range(1000)]}
    stream = json.dumps(message, indent=1).encode()
    assert fed(cut(stream, piece_bytes)) == [Command(stream, message)]


@pytest.mark.parametrize("version", FAMILIES, ids=str)
@pytest.mark.parametrize("seed", range(200))
def test_garbage_gives_the_same_in_whatever_pieces(seed: int, version: QEMUVersion) -> None:
    rng = random.Random(seed)
    stream = b"".join(rng.choice(SNIPPETS) for _ in range(rng.randrange(1, 120)))
    whole, single = fed([stream], version=version), fed(bytewise(stream), version=version)
    assert all(isinstance(item, Command | Malformed) for item in whole)
    assert repr(values(whole)) == repr(values(single))
    assert raw_of(whole).strip(b" \t\r\n") == raw_of(single).strip(b" \t\r\n")
    pieces = []
    at = 0
    while at < len(stream):
        size = rng.choice((1, 2, 5, 20, 80))
        pieces.append(stream[at : at + size])
        at += size
    assert repr(values(fed(pieces, version=version))) == repr(values(whole))


@pytest.mark.parametrize("version", FAMILIES, ids=str)
@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_give_no_exception(seed: int, version: QEMUVersion) -> None:
    stream = random.Random(seed).randbytes(3000)
    assert repr(values(fed([stream], version=version))) == repr(values(fed(bytewise(stream), version=version)))


@pytest.mark.parametrize("seed", range(100))
def test_families_differ_in_errors_only(seed: int) -> None:
    """What is a command to an older QEMU is one to 11.1, unless it comes out of a value that was spoilt before."""
    rng = random.Random(seed)
    stream = b"\xff\n".join(b"".join(rng.choice(SNIPPETS) for _ in range(rng.randrange(1, 4))) for _ in range(30))
    older, newer = (_commands(fed([stream], version=version)) for version in FAMILIES)
    assert all(command in older for command in newer)


def _commands(found: Iterable[Command | Malformed]) -> list[object]:
    return [item.message for item in found if isinstance(item, Command)]


# -- limits that change ---------------------------------------------------------------------------------------------------

LOW = Limits(token_bytes=40, tokens=10, nesting=3, inner_blank_bytes=20)
LONG = b'{"a": "%s", "b": "%s"}\n' % (b"x" * 20, b"x" * 20)
DEEP = b'{"a": {"b": {"c": {}}}}\n'
MANY = b'{"a": [1, 2, 3, 4, 5, 6]}\n'
SHORT = b'{"a": 1}\n'


@pytest.mark.parametrize("version", [OLDER, NEWEST])
@pytest.mark.parametrize("command", [LONG, DEEP, MANY, SHORT], ids=["long", "deep", "many", "short"])
@pytest.mark.parametrize(("before", "after"), [(QEMU_LIMITS, LOW), (LOW, QEMU_LIMITS)], ids=["lowered", "raised"])
def test_value_that_has_begun_keeps_its_limits(before: Limits, after: Limits, command: bytes, version: QEMUVersion) -> None:
    """And the next one has the new ones, also where it comes in the same piece."""
    natively, expected = fed([command], before, version), fed([command], after, version)
    for at in range(1, len(command)):
        framer = CommandFramer(version, before)
        found = read_all(framer, command[:at])
        framer.value.coming = after
        found += read_all(framer, command[at:] + command)
        assert values(found) == values(natively) + values(expected), at
        assert values(read_all(framer, command)) == values(expected)


@pytest.mark.parametrize("version", [OLDER, NEWEST])
def test_limits_that_change_between_two_steps_hold_for_what_follows(version: QEMUVersion) -> None:
    """One piece is read in several."""
    framer = CommandFramer(version, QEMU_LIMITS)
    found = framer.feed(LONG * 200)
    assert framer.has_input
    framer.value.coming = LOW
    while framer.has_input:
        found += framer.read()
    allowed = [item for item in found if isinstance(item, Command)]
    assert 0 < len(allowed) < 100
    assert found[: len(allowed)] == allowed
    assert values(found[len(allowed) :]) == values(fed([LONG], LOW, version)) * (200 - len(allowed))


@pytest.mark.parametrize("seed", range(30))
def test_changed_limits_are_those_of_a_new_framer(seed: int) -> None:
    """However what comes is cut."""
    rng = random.Random(seed)
    version, streams = rng.choice([OLDER, NEWEST]), [b"".join(rng.choices([LONG, DEEP, MANY, SHORT], k=4)) for _ in range(2)]
    limits = rng.sample([QEMU_LIMITS, LOW], 2)
    framer, found = CommandFramer(version, limits[0]), []
    for stream, each in zip(streams, limits, strict=True):
        framer.value.coming = each
        ends = sorted(rng.choices(range(len(stream) + 1), k=3))
        for begin, end in zip([0, *ends], [*ends, len(stream)], strict=True):
            found += read_all(framer, stream[begin:end])
    assert values(found) == [
        value for stream, each in zip(streams, limits, strict=True) for value in values(fed([stream], each, version))
    ]

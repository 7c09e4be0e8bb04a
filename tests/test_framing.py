"""CommandFramer: where commands end, QEMU's errors for the rest, and `raw`."""

import json
import random
from collections.abc import Iterable, Iterator

import pytest

from proxy.framing import MAX_BLANK_BYTES, QEMU_LIMITS, Command, CommandFramer, Limits, Malformed

EXPECTING_VALUE = "JSON parse error, expecting value"
NO_OBJECT = "QMP input must be a JSON object"
NO_UTF8 = "JSON parse error, invalid UTF-8 sequence in string"
NO_SEPARATOR = "JSON parse error, expected separator in dict"

# A stream and what it gives: a value, or the text of an error. All of it as QEMU 7.2 answers, which
# tests/integration/test_dialect_against_qemu.py shows.
STREAMS: list[tuple[bytes, list[object]]] = [
    # What ends a command
    (b'{"a":1}', [{"a": 1}]),
    (b'{"a":1}{"b":2}\r\n', [{"a": 1}, {"b": 2}]),
    (b'\n\n \t{\r\n"a"\n:\t1 }\r\n\r\n', [{"a": 1}]),
    (b'{"a":"}{"}', [{"a": "}{"}]),
    (b'{"a":[{"b":[]},{}]}', [{"a": [{"b": []}, {}]}]),
    (b"", []),
    (b"\r\n \t", []),
    (b'{"a":"x', []),
    # What QEMU takes
    (b"{'a':'it\\'s \"x\"'}", [{"a": 'it\'s "x"'}]),
    (b'{"a":"it\'s \\\'x\\\' \\/"}', [{"a": "it's 'x' /"}]),
    (b'{"a":"\\u0000\\b\\f\\n\\r\\t\\\\\\""}', [{"a": '\0\b\f\n\r\t\\"'}]),
    (b'{"a":"\x7f\xc0\x80\xc3\xa9\\u00e9"}', [{"a": "\x7f\0\xe9\xe9"}]),
    (b'{"a":"\\ud83d\\uDE00\xf0\x9f\x98\x80"}', [{"a": "\U0001f600\U0001f600"}]),
    (b'{"a":[true,false,null]}', [{"a": [True, False, None]}]),
    (b'{"a":[0,-0,10,-1,1.5,-0.5e-1,1e2,1E+2]}', [{"a": [0, 0, 10, -1, 1.5, -0.05, 100.0, 100.0]}]),
    (b'{"a":18446744073709551615,"b":-9223372036854775808}', [{"a": 2**64 - 1, "b": -(2**63)}]),
    (b'{"a":18446744073709551616,"b":-9223372036854775809}', [{"a": 2.0**64, "b": -(2.0**63)}]),
    (b'{"":{"":1}}', [{"": {"": 1}}]),
    # Values that are no command
    (b"[]", [NO_OBJECT]),
    (b'"x"', [NO_OBJECT]),
    (b"5", []),
    (b"5 ", [NO_OBJECT]),
    (b"-1.5e3\n", [NO_OBJECT]),
    (b"true", []),
    (b"null{}", [NO_OBJECT, {}]),
    (b"truenul\n", ["JSON parse error, invalid keyword 'truenul'"]),
    (b"0e1\n", [NO_OBJECT, "JSON parse error, invalid keyword 'e'", NO_OBJECT]),
    (b"1 2\n", [NO_OBJECT, NO_OBJECT]),
    (b'[{"a":1}]', [NO_OBJECT]),
    # Strays
    (b"#", ["JSON parse error, stray '#'"]),
    (b"# \t'\"{}", ["JSON parse error, stray '#'", {}]),
    (b'#"\n{}', ["JSON parse error, stray '#'", {}]),
    (b"##\n#", ["JSON parse error, stray '#'", "JSON parse error, stray '#'"]),
    (b"\xff", ["JSON parse error, stray '\ufffd'"]),
    (b"\xff\xff\n", ["JSON parse error, stray '\ufffd'"] * 2),
    (b"\xfe", ["JSON parse error, stray '\ufffd'"]),
    (b"\x00", ["JSON parse error, stray ''"]),
    (b"\x00\x01\n", ["JSON parse error, stray ''", "JSON parse error, stray '\x01'"]),
    (b"\x7f\n", ["JSON parse error, stray '\x7f'"]),
    (b'\xef\xbb\xbf{"a":1}', ["JSON parse error, stray '\ufffd'", {"a": 1}]),
    (b'{"a":#}', ["JSON parse error, stray '#'", EXPECTING_VALUE]),
    (b'{"a":%d}', ["JSON parse error, stray '%'", EXPECTING_VALUE]),
    (b'{"a":1/*c*/}', ["JSON parse error, stray '/'", EXPECTING_VALUE]),
    (b"// x\n{}", ["JSON parse error, stray '/'", {}]),
    (b'{"a":"x\ty"}', ["JSON parse error, stray '\"x\t'", EXPECTING_VALUE]),
    (b'{"a":"x\ny"}\n', ["JSON parse error, stray '\"x\n'", EXPECTING_VALUE]),
    (b'{"a":"x\xff"}', ["JSON parse error, stray '\"x\ufffd'", EXPECTING_VALUE]),
    (b'{"a":"x\\\x01"}', ["JSON parse error, stray '\"x\\\x01'", EXPECTING_VALUE]),
    (b'{"a":"x\x00"}', ["JSON parse error, stray '\"x'", EXPECTING_VALUE]),
    (b'"\xc3\x01\n', ["JSON parse error, stray '\"\ufffd\x01'"]),
    (b'{"a":01}', ["JSON parse error, stray '01'", EXPECTING_VALUE]),
    (b'{"a":-01}', ["JSON parse error, stray '-01'", EXPECTING_VALUE]),
    (b'{"a":+1}', ["JSON parse error, stray '+'", EXPECTING_VALUE]),
    (b'{"a":.5}', ["JSON parse error, stray '.'", EXPECTING_VALUE]),
    (b'{"a":-}\n', ["JSON parse error, stray '-}'"]),
    (b'{"a":1.}\n', ["JSON parse error, stray '1.}'"]),
    (b'{"a":1e}\n', ["JSON parse error, stray '1e}'"]),
    (b'{"a":1e+}\n', ["JSON parse error, stray '1e+}'"]),
    (b'{"a":1.5.5}', ["JSON parse error, stray '.'", EXPECTING_VALUE]),
    (b'{"a":NaN}', ["JSON parse error, stray 'N'", EXPECTING_VALUE]),
    (b'{"a":Infinity}', ["JSON parse error, stray 'I'", EXPECTING_VALUE]),
    (b'{"a":-Infinity}', ["JSON parse error, stray '-I'", EXPECTING_VALUE]),
    (b'{"a":TRUE}', ["JSON parse error, stray 'T'", EXPECTING_VALUE]),
    (b'{"a":\xc3\xa9}', ["JSON parse error, stray '\ufffd'", EXPECTING_VALUE]),
    # Tokens in the wrong place
    (b"}", [EXPECTING_VALUE]),
    (b"]}", [EXPECTING_VALUE] * 2),
    (b",", [EXPECTING_VALUE]),
    (b":{}", [EXPECTING_VALUE, {}]),
    (b"{]", [EXPECTING_VALUE]),
    (b'{"a":[1}]}', ["JSON parse error, expected separator in list", EXPECTING_VALUE]),
    (b"[}", [EXPECTING_VALUE]),
    (b'{"a":1,}', [EXPECTING_VALUE]),
    (b"{,}", [EXPECTING_VALUE]),
    (b'{"a":[1,]}', [EXPECTING_VALUE]),
    (b'{"a":}', [EXPECTING_VALUE]),
    (b'{"a"}', ["JSON parse error, missing : in object pair"]),
    (b'{"a" 1}', ["JSON parse error, missing : in object pair"]),
    (b'{"a":1 "b":2}', [NO_SEPARATOR]),
    (b'{"a":[1 2]}', ["JSON parse error, expected separator in list"]),
    (b'{"a":0e1}', [NO_SEPARATOR]),
    (b'{"a":-0e1}', [NO_SEPARATOR]),
    (b"{1:2}", ["JSON parse error, key is not a string in object"]),
    (b"{{}:2}", ["JSON parse error, key is not a string in object"]),
    (b"{[1]:2}", ["JSON parse error, key is not a string in object"]),
    (b"{null:2}", ["JSON parse error, key is not a string in object"]),
    (b"{nope:2}", ["JSON parse error, invalid keyword 'nope'"]),
    (b'{"a":tru}', ["JSON parse error, invalid keyword 'tru'"]),
    (b'{"a":truefalse}', ["JSON parse error, invalid keyword 'truefalse'"]),
    (b"[" + b"q" * 1100 + b"]", ["JSON parse error, invalid keyword '" + "q" * 1006]),
    (b'{"a":1,"a":1}', ["JSON parse error, duplicate key"]),
    (b'{"a":{"b":1,\'\\u0062\':2}}', ["JSON parse error, duplicate key"]),
    (b'{"a":1,"a":tru}', ["JSON parse error, invalid keyword 'tru'"]),
    # Strings
    (b'{"a":"\\q"}', ["JSON parse error, invalid escape sequence in string"]),
    (b'{"a":"\\\xc3\xa9"}', ["JSON parse error, invalid escape sequence in string"]),
    (b'{"a":"\\ud800"}', ["JSON parse error, \\ud800 is not a valid Unicode character"]),
    (b'{"a":"\\udc00"}', ["JSON parse error, \\udc00 is not a valid Unicode character"]),
    (b'{"a":"\\ud800x"}', ["JSON parse error, \\ud800 is not a valid Unicode character"]),
    (b'{"a":"\\uD800\\u0041"}', ["JSON parse error, \\uD800 is not a valid Unicode character"]),
    (b'{"a":"\\ud83f\\udffe"}', ["JSON parse error, \\ud83f\\udffe is not a valid Unicode character"]),
    (b'{"a":"\\uffff"}', ["JSON parse error, \\uffff is not a valid Unicode character"]),
    (b'{"a":"\\uFDD0"}', ["JSON parse error, \\uFDD0 is not a valid Unicode character"]),
    (b'{"a":"\\u12"}', ['JSON parse error, \\u12" is not a valid Unicode character']),
    (b'{"a":"\\u12g4"}', ["JSON parse error, \\u12g4 is not a valid Unicode character"]),
    (b'{"a":"\\u"}', ['JSON parse error, \\u" is not a valid Unicode character']),
    (b'{"a":"\\u\\"abc"}', ['JSON parse error, \\u\\"ab is not a valid Unicode character']),
    (b'{"a":"\\u123\xc3\xa9"}', ["JSON parse error, \\u123\ufffd is not a valid Unicode character"]),
    (b'{"a":"\xc3("}', [NO_UTF8]),
    (b'{"a":"\x80"}', [NO_UTF8]),
    (b'{"a":"\xc1\x81"}', [NO_UTF8]),
    (b'{"a":"\xed\xa0\x80"}', [NO_UTF8]),
    (b'{"a":"\xef\xbf\xbf"}', [NO_UTF8]),
    (b'{"a":"\xef\xb7\x90"}', [NO_UTF8]),
    (b'{"a":"\xf0\x9f\xbf\xbe"}', [NO_UTF8]),
    (b'{"a":"\xf4\x90\x80\x80"}', [NO_UTF8]),
    (b'{"a":"\xfd\xbf\xbf\xbf\xbf\xbf"}', [NO_UTF8]),
    (b'{"a":"\\q\xc3("}', ["JSON parse error, invalid escape sequence in string"]),
    (b'{"a":"\xc3\\q"}', [NO_UTF8]),
    (b'{"a":"\xe0\xbf\xbf\xef\xb7\x81"}', [{"a": "\u0fff\ufdc1"}]),
]

NESTED_1024 = b'{"a":' + b"[" * 1023 + b"]" * 1023 + b"}"


def values(found: Iterable[Command | Malformed]) -> list[object]:
    return [item.message if isinstance(item, Command) else item.desc for item in found]


def fed(pieces: Iterable[bytes], limits: Limits = QEMU_LIMITS) -> list[Command | Malformed]:
    framer = CommandFramer(limits)
    return [item for piece in pieces for item in framer.receive_data(piece)]


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


def raw_of(found: Iterable[Command | Malformed]) -> bytes:
    return b"".join(item.raw for item in found if isinstance(item, Command))


@pytest.mark.parametrize(("stream", "expected"), STREAMS, ids=lambda part: repr(part)[:60])
def test_stream_gives_what_qemu_gives(stream: bytes, expected: list[object]) -> None:
    assert repr(values(fed([stream]))) == repr(expected)  # repr: 1 is not 1.0
    assert repr(values(fed(bytewise(stream)))) == repr(expected)


@pytest.mark.parametrize("stream", [stream for stream, _ in STREAMS if len(stream) < 100], ids=lambda part: repr(part)[:60])
def test_every_split_gives_the_same(stream: bytes) -> None:
    whole = values(fed([stream]))
    for cut in range(len(stream)):
        assert values(fed([stream[:cut], stream[cut:]])) == whole


def test_every_split_in_three_gives_the_same_bytes_too() -> None:
    stream = b' {"a":"\xc3\xa9\\"}"}\r\n{}# x\n {\'b\':[1.5e1,tru' + b'e]} 5 [] \n{"c":"\\ud83d\\ude00"}'
    whole = fed([stream])
    for first in range(len(stream)):
        for second in range(first, len(stream)):
            split = fed([stream[:first], stream[first:second], stream[second:]])
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

    def test_blanks_between_commands_belong_to_the_next(self) -> None:
        assert [item.raw for item in fed([b"{} {}\n{}\n"]) if isinstance(item, Command)] == [b"{}", b" {}", b"\n{}\n"]

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
        framer = CommandFramer()
        for _ in range(1000):
            framer.receive_data(b" \n" * 100)
        (command,) = framer.receive_data(b"{}")
        assert isinstance(command, Command)
        assert command.raw == (b" \n" * 100)[:MAX_BLANK_BYTES] + b"{}"


class TestPromptness:
    def test_error_comes_with_the_offending_byte(self) -> None:
        assert values(fed([b'{"a":"x\x01'])) == ["JSON parse error, stray '\"x\x01'"]
        assert values(fed([b'{"a":-x'])) == ["JSON parse error, stray '-x'"]

    def test_grammar_is_judged_at_the_closing_bracket(self) -> None:
        assert values(fed([b'{"a" "b" [1 2'])) == []

    def test_scalars_without_end_wait_for_it(self) -> None:
        assert values(fed([b"12", b"3"])) == []
        assert values(fed([b"12", b"3", b"\n"])) == [NO_OBJECT]

    def test_buffered_bytes_are_those_of_the_incomplete_value(self) -> None:
        framer = CommandFramer()
        framer.receive_data(b'{} \n {"a":')
        assert framer.buffered_bytes == len(b'{"a":')
        framer.receive_data(b"1}")
        assert framer.buffered_bytes == 0
        framer.receive_data(b'{"a":# x')
        assert framer.buffered_bytes == 0


class TestLimits:
    def test_limits_are_qemus(self) -> None:
        assert Limits(token_bytes=64 * 1024 * 1024, tokens=2 * 1024 * 1024, nesting=1024) == QEMU_LIMITS

    def test_a_string_of_64_mib_is_cut_there(self) -> None:
        piece = b"x" * (1 << 20)
        found = fed([b'{"a":"', *[piece] * 64, b"5\n"])
        # With the quote the last x is one byte too much; what follows is a token of its own.
        assert values(found) == ["JSON token size limit exceeded", NO_OBJECT]

    def test_nesting_of_1024_is_allowed(self) -> None:
        assert len(fed([NESTED_1024])) == len(fed(bytewise(NESTED_1024))) == 1
        assert isinstance(fed([NESTED_1024])[0], Command)

    def test_nesting_of_1025_is_answered_at_its_bracket_and_then_for_each_left(self) -> None:
        stream = b'{"a":' + b"[" * 1024 + b"]" * 1024 + b"}"
        expected = ["JSON nesting depth limit exceeded", *[EXPECTING_VALUE] * 1025]
        assert values(fed([stream])) == values(fed(bytewise(stream))) == expected

    def test_many_brackets_side_by_side_are_no_nesting(self) -> None:
        stream = b'{"a":[' + b",".join([b"[]"] * 3000) + b"]}"
        assert isinstance(fed([stream])[0], Command)

    @pytest.mark.parametrize("piece_bytes", [1, 7, 1000])
    def test_tokens_are_counted(self, piece_bytes: int) -> None:
        limits = Limits(token_bytes=1 << 20, tokens=50, nesting=10)
        inside = b'{"a" : [' + b"1, " * 21 + b'"x" ]}'  # 50 tokens
        above = b'{"a" : [' + b"1, " * 22 + b"1]}"  # 51
        assert isinstance(fed(cut(inside, piece_bytes), limits)[0], Command)
        assert values(fed(cut(above, piece_bytes), limits)) == ["JSON token count limit exceeded"]

    @pytest.mark.parametrize("piece_bytes", [1, 7, 1000])
    def test_bytes_of_tokens_are_counted_but_not_blanks(self, piece_bytes: int) -> None:
        limits = Limits(token_bytes=40, tokens=1000, nesting=10)
        inside = b'{ "a" :\n "' + b"x" * 26 + b'" ' + b" " * 100 + b',"b":""}'
        assert values(fed(cut(inside, piece_bytes), limits)) == ["JSON token size limit exceeded", EXPECTING_VALUE]
        assert isinstance(fed(cut(inside.replace(b"x", b"", 3), piece_bytes), limits)[0], Command)

    @pytest.mark.parametrize("piece_bytes", [1, 7, 1000])
    @pytest.mark.parametrize("filler", [b"x", b"\\n", b"x\\n"], ids=repr)
    def test_a_token_too_long_is_cut_where_it_is_too_long(self, filler: bytes, piece_bytes: int) -> None:
        limits = Limits(token_bytes=20, tokens=1000, nesting=10)
        stream = b'"' + (filler * 20)[:20] + b"[]\n"
        assert values(fed(cut(stream, piece_bytes), limits)) == ["JSON token size limit exceeded", NO_OBJECT]

    @pytest.mark.parametrize("piece_bytes", [1, 7, 1000])
    @pytest.mark.parametrize("digit", [b"7", b"a"])
    def test_a_number_or_keyword_too_long_is_cut_too(self, digit: bytes, piece_bytes: int) -> None:
        limits = Limits(token_bytes=20, tokens=1000, nesting=10)
        # 21 bytes are too many; what follows is a token of its own.
        stream = digit * 21 + b"[]\n"
        assert values(fed(cut(stream, piece_bytes), limits)) == ["JSON token size limit exceeded", NO_OBJECT]


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


# Pieces that make garbage interesting.
SNIPPETS = [
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"'", b'"a"', b"'b'", b"1", b"-", b"0", b"1.5e3", b"true", b"nul", b"E", b".",
    b"\\", b'\\"', b"\\u00e9", b"\\ud83d", b"\\ude00", b"\xff", b"\xfe", b"\x00", b"\n", b" ", b"\t", b"#", b"%s", b"+",
    b"\xc3", b"\xa9", b"\xed\xa0\x80", b"\xc0\x80", b"\xef\xbf\xbf", b'{"execute":"x"}', b'{"a":[1,2,{"b":"c"}]}\r\n',
]  # fmt: skip


@pytest.mark.parametrize("seed", range(200))
def test_garbage_gives_the_same_in_whatever_pieces(seed: int) -> None:
    rng = random.Random(seed)
    stream = b"".join(rng.choice(SNIPPETS) for _ in range(rng.randrange(1, 120)))
    whole, single = fed([stream]), fed(bytewise(stream))
    assert all(isinstance(item, Command | Malformed) for item in whole)
    assert repr(values(whole)) == repr(values(single))
    assert raw_of(whole).strip(b" \t\r\n") == raw_of(single).strip(b" \t\r\n")
    pieces = []
    at = 0
    while at < len(stream):
        size = rng.choice((1, 2, 5, 20, 80))
        pieces.append(stream[at : at + size])
        at += size
    assert repr(values(fed(pieces))) == repr(values(whole))


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_give_no_exception(seed: int) -> None:
    stream = random.Random(seed).randbytes(3000)
    assert repr(values(fed([stream]))) == repr(values(fed(bytewise(stream))))

"""What QEMU takes for a value, and its texts; where values end in a stream is test_framing's."""

import json
import random
from typing import Any

import pytest

from proxy.qmp_json.dialect import NOT_SURE, DialectError, measure, plain_text, scan, stray, tokens
from proxy.qmp_json.grammar import decode, parse


def _quick(source: bytes) -> Any:
    """Return the value as the C scanner sees it; NOT_SURE when it is not asked or refuses."""
    text = plain_text(source)
    if text is None:
        raise ValueError
    value, end = scan(text, 0)
    if end < len(text):
        raise ValueError
    return value


@pytest.mark.parametrize("source", [
    b'{"a":1,"a":2}', b'{"a":{"b":1,"b":2}}', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":0e1}',
    b'{"a":-0E1}', b'{"a":"\\ud800"}', b'{"a":"\\uDFFF"}', b'{"a":"\\uffff"}', b'{"a":"\xef\xbf\xbf"}', b'{"a":"\xef\xb7\x90"}',
    b'{"a":"\xf0\x9f\xbf\xbe"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\xc3"}', b'{"a":"\t"}', b'{"a":"\\q"}', b'{"a":01}',
    b'{"a":1.}', b'{"a":.5}', b'{"a":tru}', b'{"a":1,}', b"truenul", b'{"a":"\\u12"}',
])  # fmt: skip
def test_quick_way_never_takes_what_qemu_refuses(source: bytes) -> None:
    with pytest.raises(NOT_SURE):
        _quick(source)


@pytest.mark.parametrize("source", [
    b"{}", b"[]", b'"x"', b"-0", b"1e3", b"1E-3", b"0.5e1", b'{"a":[1,{"b":null}]}', b'"\\u00e9\\/\\n"', b'"\xc3\xa9"',
    b'"\xf0\x9f\x98\x80"', b"18446744073709551615", b"18446744073709551616", b"-9223372036854775809", b"9" * 400,
    b' [ 1 ,\n2 ]'[1:], b'"\x7f"',
])  # fmt: skip
def test_quick_and_exact_way_agree(source: bytes) -> None:
    assert repr(_quick(source)) == repr(parse(source)) == repr(decode(source))


@pytest.mark.parametrize(("source", "value"), [
    (b"'x'", "x"), (b"'\"'", '"'), (b"'\\''", "'"), (b'"\\\'"', "'"), (b'"\xc0\x80"', "\0"), (b'"\\u0000"', "\0"),
    (b'"\\ud83d\\ude00"', "\U0001f600"), (b'"\\udbff\\udffd"', "\U0010fffd"), (b'"\\uD800\\uDC00"', "\U00010000"),
    (b'"\\uFFFD"', "\ufffd"), (b'"\\ufdcf"', "\ufdcf"), (b'"\xef\xb7\xaf"'.replace(b"\xaf", b"\xb0"), "\ufdf0"),
    (b"{'a':'b','c':['d']}", {"a": "b", "c": ["d"]}),
])  # fmt: skip
def test_exact_way_takes_what_json_does_not(source: bytes, value: object) -> None:
    assert decode(source) == value


@pytest.mark.parametrize(("text", "value"), [
    ("18446744073709551615", 18446744073709551615),
    ("18446744073709551616", 18446744073709551616.0),
    ("-9223372036854775808", -9223372036854775808),
    ("-9223372036854775809", -9223372036854775809.0),
    ("123456789012345678901234567890", 1.2345678901234568e29),
    ("9" * 10000, float("inf")),
    ("0", 0), ("-0", 0), ("1.0", 1.0), ("1e400", float("inf")),
])  # fmt: skip
def test_integers_beyond_64_bits_are_doubles(text: str, value: float) -> None:
    for read in (decode, parse):
        assert repr(read(text.encode())) == repr(value)


def test_text_of_a_syntax_error_ends_where_qemus_buffer_does() -> None:
    with pytest.raises(DialectError) as caught:
        decode(b"q" * 2000)
    assert len(str(caught.value)) == len("JSON parse error, ") + 1023


@pytest.mark.parametrize(("token", "shown"), [
    (b"#", "#"),
    (b"\xff", "\ufffd"),
    (b'"x\x00', '"x'),
    (b'"\xc3\xa9\x01', '"é\x01'),
    (b'"\xc3\x01', '"\ufffd\x01'),
    (b'"\xe2\x82\x01', '"\ufffd\x01'),  # a sequence cut short is replaced as one
    (b'"\xf8\x88\x80\x80\x80\x01', '"\ufffd\x01'),  # so is one of five bytes
    (b'"\x80\x80\x01', '"\ufffd\ufffd\x01'),
    (b'"\xed\xa0\x80\x01', '"\ufffd\x01'),
    (b'"\xef\xbf\xbf\x01', '"\ufffd\x01'),
    (b'"\xc0\x80\x01', '"\0\x01'),
])  # fmt: skip
def test_stray_token_is_shown_with_replacements(token: bytes, shown: str) -> None:
    assert stray(token) == f"JSON parse error, stray '{shown}'"


def test_measure_counts_tokens_and_their_bytes() -> None:
    assert measure(b" { \"a b\" : [ 1.5e1 , true, 'x' ] } ") == (11, 24)
    assert measure(b'"' + b"\\n" * 5000 + b'"') == (1, 10002)
    assert measure(b"") == (0, 0)


def test_tokens_have_their_places() -> None:
    source = b" {\"a b\":\n[-1.5e1,true , 'x']} "
    assert [source[begin : begin + len(token)] == token for begin, token in tokens(source)] == [True] * 11


def _random_value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(8 if depth else 6)
    if kind == 6:
        return [_random_value(rng, depth - 1) for _ in range(rng.randrange(5))]
    if kind == 7:
        return {_random_text(rng): _random_value(rng, depth - 1) for _ in range(rng.randrange(5))}
    return [None, True, False, rng.randrange(-(2**63), 2**64), rng.uniform(-1e20, 1e20), _random_text(rng)][kind]


def _random_text(rng: random.Random) -> str:
    return "".join(rng.choice("ab\"'\\/\0\n\x7fé€\U0001f600{}[],: ") for _ in range(rng.randrange(8)))


@pytest.mark.parametrize("seed", range(100))
def test_what_json_writes_is_read_alike(seed: int) -> None:
    value = _random_value(random.Random(seed), 4)
    for ascii_only in (True, False):
        source = json.dumps(value, ensure_ascii=ascii_only).encode()
        assert decode(source) == parse(source) == value

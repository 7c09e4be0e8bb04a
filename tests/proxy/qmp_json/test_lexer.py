"""Lexer: the tokens of a stream, and that its work grows with the stream and not faster."""

import sys
from types import FrameType

import pytest

from proxy.qmp_json.framing import CommandFramer
from proxy.qmp_json.lexer import SKIPPED, STRAY, Lexer, Token
from shim.qmp import QEMUVersion
from tests.support.streams import FAMILIES, read_all

LIMIT = 64 << 20


def lexed(*pieces: bytes, sees_all: bool = True) -> list[tuple[bytes, int]]:
    lexer = Lexer(LIMIT)
    lexer.sees_all = sees_all
    return [_plain(token, piece) for piece in pieces for token in lexer.tokens(piece, 0)]


def _plain(token: Token, piece: bytes) -> tuple[bytes, int]:
    kind, end, length = token
    assert 0 <= end <= len(piece)
    return (kind if kind in (STRAY, SKIPPED) or kind in b"{}[]:," else b"", length)


def test_tokens_have_kinds_and_lengths() -> None:
    assert lexed(b'{"a" : [-1.5e3,true]}') == [
        (b"{", 1), (b"", 3), (b":", 1), (b"[", 1), (b"", 6), (b",", 1), (b"", 4), (b"]", 1), (b"}", 1),
    ]  # fmt: skip


def test_length_counts_earlier_pieces() -> None:
    assert lexed(b'"ab', b"c\\", b'"d', b'"') == [(b"", 8)]
    assert lexed(b"-", b"1", b".", b"5", b"e", b"-", b"1", b" ") == [(b"", 7)]


def test_recovery_ends_at_line_end_bracket_colon_comma_or_control_character() -> None:
    for end in b"\n\r{}[]:,\x00\x1f\xfe\xff":
        assert lexed(b"#x\"'\t 5" + bytes([end]))[:2] == [(STRAY, 1), (SKIPPED, 0)]
    for byte in b"\t 5\"'a\x7f\x80\xfd":
        assert lexed(b"#x" + bytes([byte])) == [(STRAY, 1)]


def test_only_brackets_are_promised_when_not_all_matters() -> None:
    stream = b'[1,2,{"a":"b"},"' + b"x" * 100 + b'"] '
    brackets = [kind for kind, _ in lexed(stream, sees_all=False) if kind and kind in b"{}[]"]
    assert brackets == [b"[", b"{", b"}", b"]"]
    assert len(lexed(stream, sees_all=False)) < len(lexed(stream))


@pytest.mark.parametrize("piece", [b"x" * 4096, b"\\n" * 2048, b"1" * 4096, b"a" * 4096], ids=lambda part: repr(part[:2]))
def test_an_unfinished_token_is_kept_as_a_state_and_no_bytes(piece: bytes) -> None:
    lexer = Lexer(LIMIT)
    for part in (b"[" if piece[0] in b"1a" else b'["', *[piece] * 50):
        assert all(kind == b"[" for kind, _, _ in lexer.tokens(part, 0))
    assert lexer.length >= 50 * 4096
    assert all(isinstance(getattr(lexer, name), int | str) for name in Lexer.__slots__)


SHAPES = {
    "string": b"x" * 4096,
    "escapes": b"\\n" * 2048,
    "escapes far apart": (b"x" * 300 + b"\\n") * 13,
    "strings": b'","' + b"x" * 70,
    "numbers": b'",' + b"1,22.5," * 500 + b'"',
    "objects": b'",' + b'{"a":"b"},' * 400 + b'"',
    "blanks": b'",' + b" " * 4096 + b'"',
    "non-ASCII": b"\xc3\xa9" * 2048,
}


def _calls(stream: bytes, piece_bytes: int, version: QEMUVersion) -> int:
    """Count the calls, of Python and of C, that framing `stream` takes."""
    framer = CommandFramer(version)
    calls = 0

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        pieces = [stream[at : at + piece_bytes] for at in range(0, len(stream), piece_bytes)]
        found = [item for piece in pieces for item in read_all(framer, piece)]
    finally:
        sys.setprofile(before)
    assert len(found) == 1
    return calls


@pytest.mark.parametrize("version", FAMILIES, ids=str)
@pytest.mark.parametrize("piece_bytes", [64, 4096, 1 << 30])
@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_command_takes_twice_the_work(shape: str, piece_bytes: int, version: QEMUVersion) -> None:
    """No call looks at more than the piece it is given, except those made once a value is whole.

    QEMU 11.1's errors come early, so there each piece but the last is looked at: 15 of 16 instead of 7 of 8.
    """
    once, twice = (_calls(b'{"a":["' + SHAPES[shape] * times + b'"]}', piece_bytes, version) for times in (8, 16))
    assert twice <= 2 * once * 15 / 14 + 10

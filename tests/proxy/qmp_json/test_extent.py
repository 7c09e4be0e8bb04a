"""How far a value has come: its brackets, and the limits (the texts are compared with QEMU's in test_framing.py)."""

from proxy.qmp_json.extent import TOO_MANY_BYTES, Extent
from proxy.qmp_json.lexer import Lexer
from proxy.qmp_json.limits import Limits

LIMITS = Limits(token_bytes=20, tokens=8, nesting=3, inner_blank_bytes=4)


def extent_of(tokens: bytes) -> Extent:
    extent = Extent(LIMITS)
    for byte in tokens:
        extent.add(bytes([byte]), 1)
    return extent


def test_value_is_open_while_brackets_are() -> None:
    for tokens, is_open in (
        (b"{", True),
        (b"{}", False),
        (b"[{", True),
        (b"[{}", True),
        (b"[}", False),
        (b"]", False),
        (b"1", False),
    ):
        assert extent_of(tokens).is_open is is_open, tokens


def test_each_limit_is_passed_by_one_more() -> None:
    assert extent_of(b"[[[").excess(3) is None
    assert extent_of(b"[[[[").excess(4) == "JSON nesting depth limit exceeded"
    assert extent_of(b"[1,1,1,1").excess(8) is None
    assert extent_of(b"[1,1,1,1,").excess(9) == "JSON token count limit exceeded"
    extent = extent_of(b"[")
    extent.add(b"other", 18)
    assert extent.excess(19) is None
    extent.add(b"other", 1)
    assert extent.excess(20) == TOO_MANY_BYTES


def test_blanks_count_only_where_a_limit_can_be_passed() -> None:
    lexer, extent = Lexer(100), extent_of(b"[")
    extent.expect(bytearray(), 8, lexer)
    assert not extent.has_too_many_blanks(8)
    lexer.sees_all = False
    extent.expect(bytearray(b"[     "), 3, lexer)
    assert (lexer.sees_all, extent.tokens) == (True, 1)
    assert not extent.has_too_many_blanks(5)
    assert extent.has_too_many_blanks(6)


def test_reset_forgets_the_value() -> None:
    extent = extent_of(b"[[")
    extent.reset()
    assert (extent.tokens, extent.is_open) == (0, False)

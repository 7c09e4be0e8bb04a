"""How tokens make a value, and the words of both families where they do not."""

import pytest

from proxy.qmp_json.dialect import DialectError
from proxy.qmp_json.grammar import EAGER, PATIENT, Family, Parser, decode, family_of, parse
from shim.qmp import QEMUVersion


@pytest.mark.parametrize(("version", "family"), [
    ((5, 2, 0), PATIENT), ((7, 2, 22), PATIENT), ((10, 0, 13), PATIENT), ((11, 0, 50), PATIENT), ((11, 1, 0), EAGER),
    ((11, 1, 3), EAGER), ((12, 0, 0), EAGER),
])  # fmt: skip
def test_version_has_its_family(version: tuple[int, int, int], family: Family) -> None:
    assert family_of(QEMUVersion(*version)) is family


@pytest.mark.parametrize(("source", "text"), [
    (b"}", "expecting value"),
    (b"{]", "expecting value"),
    (b'{"a":1,}', "expecting value"),
    (b"[1,]", "expecting value"),
    (b'{"a"}', "missing : in object pair"),
    (b'{"a":1 2}', "expected separator in dict"),
    (b"[1 2]", "expected separator in list"),
    (b"[1:2]", "expected separator in list"),
    (b"{1:2}", "key is not a string in object"),
    (b"{[]:2}", "key is not a string in object"),
    (b'{"a":1,"a":2}', "duplicate key"),
    (b'{"a":1,"a":tru}', "invalid keyword 'tru'"),
    (b"[nul]", "invalid keyword 'nul'"),
    (b'"\\q"', "invalid escape sequence in string"),
    (b'"\xc3("', "invalid UTF-8 sequence in string"),
    (b'"\\ud800"', "\\ud800 is not a valid Unicode character"),
    (b'"\\u1"', '\\u1" is not a valid Unicode character'),
])  # fmt: skip
def test_errors_have_qemus_words(source: bytes, text: str) -> None:
    with pytest.raises(DialectError) as caught:
        decode(source)
    assert str(caught.value) == f"JSON parse error, {text}"


@pytest.mark.parametrize(("source", "text"), [
    (b"}", "expecting value"),
    (b"{]", "expecting key"),
    (b'{"a":1,}', "expecting key"),
    (b"[1,]", "expecting value"),
    (b'{"a"}', "expecting ':'"),
    (b'{"a":1 2}', "expected ',' or '}'"),
    (b"[1 2]", "expected ',' or ']'"),
    (b"{1:2}", "expecting key"),
    (b"{[]:2}", "expecting key"),
    (b"{nul:2}", "expecting key"),
    (b'{"a":1,"a":2}', "duplicate key"),
    (b'{"\\q":1}', "invalid escape sequence in string"),
])  # fmt: skip
def test_eager_family_has_words_of_its_own(source: bytes, text: str) -> None:
    with pytest.raises(DialectError) as caught:
        decode(source, EAGER)
    assert str(caught.value) == f"JSON parse error, {text}"


@pytest.mark.parametrize(("family", "fed"), [(EAGER, 3), (PATIENT, 4)], ids=["eager", "patient"])
def test_a_key_that_is_no_string_is_seen_at_its_first_or_last_token(family: Family, fed: int) -> None:
    parser = Parser(family)
    for number, token in enumerate([b"[", b"{", b"{", b"}", b":"], start=1):
        if number == fed:
            with pytest.raises(DialectError):
                parser.feed(token)
            return
        parser.feed(token)


@pytest.mark.parametrize("depth", [1023, 100_000])
def test_nesting_costs_no_recursion(depth: int) -> None:
    value, seen = decode(b"[" * depth + b"]" * depth), 1
    while value:
        (value,) = value
        seen += 1
    assert seen == depth
    with pytest.raises(DialectError):
        parse(b"[" * depth + b"}")

"""What QEMU 11.1 finds wrong before a value's end; that the texts are QEMU's is compared in test_framing.py."""

from proxy.qmp_json.early_errors import EarlyErrors
from proxy.qmp_json.grammar import EAGER


def test_tokens_are_looked_at_as_far_as_told() -> None:
    data = b'{"a" 1}'
    assert EarlyErrors(EAGER).look(bytearray(), data, 0, 4) is None
    early = EarlyErrors(EAGER)
    assert early.look(bytearray(), data, 0, 6) == "1:6: JSON parse error, expecting ':'"


def test_value_goes_on_in_the_next_piece() -> None:
    early = EarlyErrors(EAGER)
    held = bytearray(b'{"a":')
    assert early.look(held, b" ,", 0, 0) is None
    assert early.look(held, b" ,", 0, 2) == "1:2: JSON parse error, expecting value"


def test_token_that_stands_for_a_long_one_is_judged_in_its_place() -> None:
    early = EarlyErrors(EAGER)
    held = bytearray(b"[" + b"1" * 100)
    assert early.look(held[:1], b"[" + b"1" * 100, 0, 1) is None
    assert early.look_at(b"1", held, b"[" + b"1" * 100, 1) is None
    assert early.look(held, b" 2", 0, 2) == "1:2: JSON parse error, expected ',' or ']'"


def test_reset_begins_a_new_value() -> None:
    early = EarlyErrors(EAGER)
    early.look(bytearray(), b"[1", 0, 2)
    early.reset()
    assert early.look(bytearray(), b"[]", 0, 2) is None

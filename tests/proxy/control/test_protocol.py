"""What is said at the control sockets."""

import json

import pytest

from proxy.control.protocol import (
    RefusedError,
    Request,
    read_answer,
    read_request,
    spell_pieces,
    spell_refusal,
    spell_request,
    spell_return,
    spell_text_in_pieces,
)


def test_request_is_read_as_it_was_spelled() -> None:
    asked = Request("pause", {"vm": "a", "for_s": None, "no_wait": True})
    line = spell_request(asked)
    assert line == b'{"command": "pause", "vm": "a", "no_wait": true}\n'
    read = read_request(line)
    assert (read.command, read.text("vm"), read.number("for_s"), read.flag("no_wait")) == ("pause", "a", None, True)
    assert (read.text("other"), read.flag("other")) == (None, False)


@pytest.mark.parametrize("line", [b"", b"x", b"[]", b"{}", b'{"command": 5}', b"[" * 3000, b"\xff", b'{"command": null}'])
def test_what_is_no_request_is_refused(line: bytes) -> None:
    with pytest.raises(RefusedError, match="this is not a request; send a line such as"):
        read_request(line)


@pytest.mark.parametrize("wrong", ["5", 0, -1, True, [], float("inf")])
def test_number_is_greater_than_0(wrong: object) -> None:
    with pytest.raises(RefusedError, match="'n' is not a number greater than 0"):
        Request("x", {"n": wrong}).number("n")


def test_members_have_types() -> None:
    request = Request("x", {"a": 5, "b": "yes", "c": 2})
    with pytest.raises(RefusedError, match="'a' is not a string"):
        request.text("a")
    with pytest.raises(RefusedError, match="'b' is neither true nor false"):
        request.flag("b")
    assert request.number("c") == 2


def test_answers_are_read_as_they_were_spelled() -> None:
    assert read_answer(spell_return({"a": [1]})) == {"a": [1]}
    with pytest.raises(RefusedError, match="no"):
        read_answer(spell_refusal(RefusedError("no")))


@pytest.mark.parametrize("line", [b"", b"SSH-2.0", b"{}", b'{"error": 5}'])
def test_what_is_no_answer_is_an_error(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"Expecting|not an answer"):
        read_answer(line)


def test_text_in_pieces_is_a_text() -> None:
    line = b"".join(spell_text_in_pieces([b'a"\n', b"", "ü\\".encode()]))
    assert read_answer(line) == 'a"\nü\\'


@pytest.mark.parametrize("values", [[], [1], [{"b": 2}, "c"]])
def test_pieces_make_one_answer(values: list[object]) -> None:
    line = b"".join(spell_pieces({"version": "1"}, "vms", values))
    assert line.endswith(b"\n")
    assert json.loads(line) == {"return": {"version": "1", "vms": values}}

"""QMP's vocabulary. Goldens are what QEMU 7.2.22 echoes of an `id`."""

import json
from types import MappingProxyType
from typing import Any

import pytest

from shim.qmp import JSON, ErrorReply, Execute, QEMUVersion, ReturnReply, encode, encode_pretty, read_reply, reply_members


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-1, "-1"),
        (2**64 - 1, "18446744073709551615"),
        (0.1, "0.10000000000000001"),
        (1.0, "1"),
        (1e300, "1.0000000000000001e+300"),
        (2.0**97, "1.5845632502852868e+29"),
        (1e-7, "9.9999999999999995e-08"),
        ("", '""'),
        ("t1", '"t1"'),
        ([], "[]"),
        ({}, "{}"),
        ([1, "a", None], '[1, "a", null]'),
        ((1, 2), "[1, 2]"),
        ({"a": 1, "b": [{"c": {}}]}, '{"a": 1, "b": [{"c": {}}]}'),
        (MappingProxyType({"z": 1, "a": 2}), '{"z": 1, "a": 2}'),
    ],
    ids=repr,
)
def test_value_is_spelled_as_qemu_does(value: JSON, spelled: str) -> None:
    assert encode(value) == spelled


@pytest.mark.parametrize(
    ("char", "spelled"),
    [
        ('"', '\\"'),
        ("\\", "\\\\"),
        ("\b", "\\b"),
        ("\f", "\\f"),
        ("\n", "\\n"),
        ("\r", "\\r"),
        ("\t", "\\t"),
        ("/", "/"),
        ("'", "'"),
        ("~", "~"),
        ("\x00", "\\u0000"),
        ("\x0b", "\\u000B"),
        ("\x1f", "\\u001F"),
        ("\x7f", "\\u007F"),
        ("\x80", "\\u0080"),
        ("é", "\\u00E9"),
        ("日", "\\u65E5"),
        ("\uffff", "\\uFFFF"),
        ("\U00010000", "\\uD800\\uDC00"),
        ("😀", "\\uD83D\\uDE00"),
        ("\U0010ffff", "\\uDBFF\\uDFFF"),
    ],
    ids=ascii,
)
def test_character_is_spelled_as_qemu_does(char: str, spelled: str) -> None:
    assert encode(f"a{char}b") == f'"a{spelled}b"'
    assert encode({char: 0}) == f'{{"{spelled}": 0}}'


def test_printable_ascii_is_left_alone() -> None:
    plain = "".join(map(chr, range(32, 127))).replace('"', "").replace("\\", "")
    assert encode(plain) == f'"{plain}"'


def test_compact_leaves_out_the_blanks_between_but_not_those_in_strings() -> None:
    value = {"a, b: c": [1, {"d": ", : "}], "e": 0.5}
    assert encode(value, compact=True) == '{"a, b: c":[1,{"d":", : "}],"e":0.5}'


@pytest.mark.parametrize("compact", [False, True])
def test_value_reads_back_as_it_was(compact: bool) -> None:
    value: JSON = {"é\x7f\0😀": [None, True, -5, 0.1, {"": []}], 'q"\\': {"n": "\n"}}
    spelled = encode(value, compact=compact)
    assert json.loads(spelled) == value
    assert spelled.isascii()


@pytest.mark.parametrize("value", [b"x", {1}, object(), 1j, [b"x"], {"a": {"b": {3}}}], ids=lambda value: type(value).__name__)
def test_what_is_not_json_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^not a JSON value: (bytes|set|object|complex)$"):
        encode(value)


@pytest.mark.parametrize("key", [1, None, b"x"], ids=repr)
def test_key_that_is_not_a_string_is_a_type_error(key: Any) -> None:
    """Python's json would spell it as a string, and QEMU would look for a member that nobody named."""
    for spell in (encode, encode_pretty):
        with pytest.raises(TypeError, match=r"^not a JSON object's key: "):
            spell({"a": {key: 1}})


def test_command_goes_out_as_one_short_line() -> None:
    command = Execute("snapshot-delete", {"job-id": "j", "tag": "é\n", "devices": ["d0", "d1"]})
    assert command.to_wire() == (
        b'{"execute":"snapshot-delete","arguments":{"job-id":"j","tag":"\\u00E9\\n","devices":["d0","d1"]}}\n'
    )


def test_command_without_arguments_has_no_such_member() -> None:
    assert Execute("query-jobs").to_wire() == b'{"execute":"query-jobs"}\n'


def test_commands_do_not_share_their_arguments() -> None:
    assert Execute("a").arguments is not Execute("b").arguments
    assert Execute("a") == Execute("a", {})


def test_version_is_ordered_and_printed() -> None:
    assert QEMUVersion(7, 2, 22) < QEMUVersion(10, 0) < (10, 0, 13)
    assert str(QEMUVersion(10, 0, 13)) == "10.0.13"
    assert str(QEMUVersion(6, 0)) == "6.0.0"


def test_pretty_spelling_is_that_of_a_pretty_monitor() -> None:
    reply = {"return": {}, "id": {"a": [1, {}, [], "x"], "b": {"c": None}}}
    assert encode_pretty(reply) == (
        '{\r\n    "return": {\r\n    },\r\n    "id": {\r\n        "a": [\r\n            1,\r\n            {\r\n            },'
        '\r\n            [\r\n            ],\r\n            "x"\r\n        ],\r\n        "b": {\r\n            "c": null'
        "\r\n        }\r\n    }\r\n}"
    )


def test_pretty_spelling_of_a_string_is_the_plain_one() -> None:
    assert encode_pretty({"é": "\x7f"}) == '{\r\n    "\\u00E9": "\\u007F"\r\n}'
    assert encode_pretty("a, b") == '"a, b"'


def test_replies_are_read() -> None:
    assert read_reply({"return": [1], "id": 1}) == ReturnReply([1])
    assert read_reply({"error": {"class": "c", "desc": "d"}}) == ErrorReply("c", "d")
    assert read_reply({"id": 1, "error": {"class": "c", "desc": "d", "more": 1}}) == ErrorReply("c", "d")


def test_reply_as_a_record_has_it() -> None:
    assert reply_members(ReturnReply([1])) == {"return": [1]}
    assert reply_members(ErrorReply("GenericError", "no")) == {"error": {"class": "GenericError", "desc": "no"}}

"""A line of a log as a record of today's schema."""

import json
from typing import Any, Final

import pytest

from audit.errors import DamagedLine
from audit.log.reading import decode, modernize, read_record
from shim.records.audit_form import SCHEMA_VERSION

_OLD: Final[dict[str, Any]] = {
    "schema": 1,
    "command_line": "savevm t1",
    "action": "rewritten",
    "reply": {"return": ""},
    "client": {"pid": 1, "uid": 2, "exe": "/bin/tool", "address": None},
}
_NOT_KNOWN_OF_CLIENT: Final[dict[str, Any]] = {
    **dict.fromkeys(("user", "tool", "unit", "container", "parent")),
    "argv": [],
    "prompt": False,
}


def line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def reason(data: bytes) -> str:
    with pytest.raises(DamagedLine) as caught:
        read_record(data)
    with pytest.raises(DamagedLine) as caught_in_decode:
        decode(data)
    assert str(caught_in_decode.value) == str(caught.value)
    return str(caught.value)


def test_record_of_today_is_given_as_it_is() -> None:
    record = {"schema": SCHEMA_VERSION, "vm": "vm1", "new": [1]}
    assert read_record(line(record)) == record
    assert decode(line(record)) == record


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_line_end_does_not_matter(end: bytes) -> None:
    assert read_record(b'{"schema":4}' + end) == {"schema": 4}


@pytest.mark.parametrize(
    "header",
    [
        b"Nov 23 17:39:52 node7 hmp-proxy[4242]: ",
        b"<134>1 2026-11-23T17:39:52.451176Z node7 hmp-proxy 4242 - - ",
        b"\xef\xbb\xbf",
        b"\xff\x00 ",
    ],
    ids=["RFC 3164", "RFC 5424", "byte order mark", "junk"],
)
def test_header_of_a_syslog_daemon_is_left_out(header: bytes) -> None:
    assert read_record(header + line({"schema": 4, "vm": "x"})) == {"schema": 4, "vm": "x"}


def test_record_of_version_1_gets_what_later_versions_know() -> None:
    assert read_record(line(_OLD)) == _OLD | {
        "host": None,
        "execute": "human-monitor-command",
        "hmp_command": "savevm",
        "failed": False,
        "after_failure": None,
        "lost_before": 0,
        "repeated": 0,
        "housekeeping": False,
        "cut": [],
        "client": {"connected_as": None} | _OLD["client"] | _NOT_KNOWN_OF_CLIENT,
    }
    assert decode(line(_OLD)) == _OLD
    assert modernize(_OLD) == read_record(line(_OLD))


def test_record_of_version_2_gets_what_later_versions_know() -> None:
    record = {"schema": 2, "vm": "vm1", "lost_before": 3}
    assert read_record(line(record)) == record | {"repeated": 0, "housekeeping": False, "cut": []}
    assert decode(line(record)) == record


def test_client_of_version_3_is_known_by_its_executable_only() -> None:
    client = {"pid": 1, "uid": 2, "exe": "/bin/tool", "address": None, "connected_as": "/bin/sh"}
    record = {"schema": 3, "client": client | {"tool": ["what meant nothing then"]}, "repeated": 4, "cut": []}
    known = client | _NOT_KNOWN_OF_CLIENT
    assert read_record(line(record)) == record | {"client": known, "housekeeping": False}


@pytest.mark.parametrize("client", [None, 5, []])
def test_client_that_is_none_stays_as_it_is(client: Any) -> None:
    assert read_record(line({"schema": 3, "client": client}))["client"] == client


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"reply": {"return": "Error: no\r\n"}}, True),
        ({"reply": {"error": {"class": "GenericError", "desc": "no"}}}, True),
        ({"reply": None}, None),
        ({"command_line": "info status", "reply": {"return": "VM status: running\r\n"}}, False),
        ({"command_line": None, "reply": {"error": {}}}, True),
        ({"command_line": None, "reply": {"return": "Error: no"}}, False),
        ({"command_line": 5, "reply": 5}, None),
    ],
)
def test_whether_a_record_of_version_1_failed(changes: dict[str, Any], expected: bool | None) -> None:
    assert read_record(line(_OLD | changes))["failed"] is expected


def test_recovered_job_of_version_1_was_no_command() -> None:
    found = read_record(line(_OLD | {"action": "recovered", "command_line": None, "reply": None}))
    assert (found["execute"], found["hmp_command"], found["failed"]) == (None, None, None)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "it is blank"),
        (b" \n", "it is blank"),
        (b"hello\n", "it is not JSON"),
        (b"\x00" * 4096 + b"\n", "it is not JSON"),
        (bytes(range(256)), "it is not JSON"),
        (b"[1]\n", "it is not JSON"),
        (b'{"schema":2', "it is cut off: its end is missing"),
        (b'{"vm":"x\n', "it is not JSON: Invalid control character at: line 1 column 9 (char 8)"),
        (b'{"schema":2,"vm":"\n"}\n', "it is not JSON: Invalid control character at: line 1 column 19 (char 18)"),
        (b'{"schema":2} trailing\n', "it is not JSON: Extra data: line 1 column 14 (char 13)"),
        (b'{"schema":2}{"schema":2}\n', "it is not JSON: Extra data: line 1 column 13 (char 12)"),
        (b'{"vm":"x"}\n', "it has no schema"),
        (b'{"schema":5}\n', "its schema is 5, and the newest that is known here is 4"),
        (b'{"schema":0}\n', "its schema is 0, and the newest that is known here is 4"),
        (b'{"schema":true}\n', "its schema is True, and the newest that is known here is 4"),
        (b'{"schema":1.0}\n', "its schema is 1.0, and the newest that is known here is 4"),
        (b'{"schema":"\\u001b[2J"}\n', "its schema is '\\x1b[2J', and the newest that is known here is 4"),
        (b'{"schema":[[2]]}\n', "its schema is not a number, and the newest that is known here is 4"),
    ],
)
def test_why_a_line_is_no_record(data: bytes, expected: str) -> None:
    assert reason(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        b'{"schema":2,"vm":"\xff"}\n',
        b'{"schema":2,"vm":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
        b'{"schema":' + b"[" * 100_000 + b"\n",
        b'{"schema":2,"n":' + b"9" * 100_000 + b"}\n",
        b"{\x00s\x00c\x00",
        b'{"schema":2,"vm":"\x1b"}\n',
    ],
    ids=["no UTF-8", "deep", "deep and torn", "long number", "UTF-16", "control character"],
)
def test_what_json_does_not_take_is_a_damaged_line(data: bytes) -> None:
    assert reason(data).startswith("it is not JSON: ")


@pytest.mark.parametrize("header", [b"", b"Nov 23 17:39:52 node7 hmp-proxy[4242]: "], ids=["bare", "syslog"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"], ids=["torn", "next line begun", "CR"])
def test_record_without_its_end_is_cut_off_wherever_that_is(header: bytes, end: bytes) -> None:
    members = _OLD | {"vm": 'e\u0301 "', "node": "é", "n": -1.5e3, "b": True}
    data = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
    for cut in range(len('{"schema":') if header else 1, len(data)):
        assert reason(header + data[:cut] + end) == "it is cut off: its end is missing"


def test_schema_is_not_looked_at_in_depth() -> None:
    """Deeper than repr can go."""
    depth = 900
    assert reason(b'{"schema":' + b"[" * depth + b"]" * depth + b"}\n").startswith("its schema is not a number, ")


def test_record_is_found_at_every_cut_or_told_to_be_damaged() -> None:
    whole = line(_OLD | {"vm": "é"})
    for cut in range(len(whole) - 1):
        assert reason(whole[:cut])
    assert read_record(whole[:-1]) == read_record(whole)

"""Messages of QEMU are found and told apart in both layouts, wherever they are cut."""

import json
import random
from typing import Any, Final

import pytest

from proxy.qmp_json.messages import LINES, PRETTY, Kind, MonitorFormat, format_of
from shim.qmp import NotJSONError, decode
from tests.fakes.wire import spell
from tests.support.routing.pure_router import greeting

LAYOUTS: Final = pytest.mark.parametrize("monitor_format", [LINES, PRETTY], ids=["lines", "pretty"])
EVENT: Final[dict[str, Any]] = {"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}
SUCCESS: Final[dict[str, Any]] = {"return": {"a": [{}, [], {"b": "}\n{\r\n"}]}}
FAILURE: Final[dict[str, Any]] = {"id": 7, "error": {"class": "GenericError", "desc": 'a "timestamp"'}}
MESSAGES: Final = [EVENT, SUCCESS, FAILURE, {"return": {}}, {"return": [], "id": {"k": [{}]}}, {"return": "", "id": None}]


def written(message: dict[str, Any], monitor_format: MonitorFormat) -> bytes:
    """Spell a message as QEMU's monitor does."""
    return spell(message, pretty=monitor_format.is_pretty)


@pytest.mark.parametrize("pretty", [False, True])
def test_layout_is_told_from_the_greeting_alone(pretty: bool) -> None:
    raw = greeting(pretty=pretty)
    expected = PRETTY if pretty else LINES
    assert format_of(raw) is expected
    assert format_of(raw[:3]) is expected


def test_layout_of_nothing_is_lines() -> None:
    assert format_of(b"") is LINES


@LAYOUTS
@pytest.mark.parametrize("message", MESSAGES, ids=json.dumps)
def test_message_has_its_end_and_no_earlier_one(monitor_format: MonitorFormat, message: dict[str, Any]) -> None:
    raw = written(message, monitor_format)
    assert monitor_format.find_end(raw, 0) == len(raw)
    assert [monitor_format.find_end(raw[:cut], 0) for cut in range(len(raw))] == [0] * len(raw)


@LAYOUTS
@pytest.mark.parametrize("seed", range(20))
def test_ends_of_many_messages_are_found_in_order(monitor_format: MonitorFormat, seed: int) -> None:
    rng = random.Random(seed)
    messages = [rng.choice(MESSAGES) for _ in range(rng.randrange(1, 12))]
    stream = b"".join(written(message, monitor_format) for message in messages)
    found, position = [], 0
    while end := monitor_format.find_end(stream, position):
        found.append(decode(stream[position:end]))
        position = end
    assert found == messages
    assert position == len(stream)


@LAYOUTS
@pytest.mark.parametrize(
    ("message", "kind"),
    [(EVENT, Kind.EVENT), (SUCCESS, Kind.REPLY), (FAILURE, Kind.REPLY), ({"error": {"class": "x", "desc": "y"}}, Kind.REPLY)],
)
def test_kind_is_told_from_the_first_bytes(monitor_format: MonitorFormat, message: dict[str, Any], kind: Kind) -> None:
    raw = b"before" + written(message, monitor_format)
    assert monitor_format.kind(raw, len(b"before"), len(raw)) is kind


@LAYOUTS
@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (b'{"event": "STOP", "timestamp": {}}', Kind.EVENT),
        (b'{ "timestamp": {}, "event": "STOP"}', Kind.EVENT),
        (b'{"other": 1, "return": {}}', Kind.REPLY),
        (b' {"return": {"event": 1}}', Kind.REPLY),
        (b'{"x": {"event": 1}, "error": {}}', Kind.REPLY),
    ],
)
def test_unknown_first_bytes_are_parsed(monitor_format: MonitorFormat, message: bytes, kind: Kind) -> None:
    assert monitor_format.kind(message, 0, len(message)) is kind


@LAYOUTS
def test_kind_of_what_is_no_json_is_an_error(monitor_format: MonitorFormat) -> None:
    with pytest.raises(NotJSONError, match="garbage"):
        monitor_format.kind(b"garbage\r\n", 0, 9)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"return": {}, "id": inf}', {"return": {}, "id": float("inf")}),
        (b'{"return": "inf, -inf \\" inf", "id": [-inf, "inf"]}', {"return": 'inf, -inf " inf', "id": [float("-inf"), "inf"]}),
    ],
)
def test_infinite_numbers_are_read_as_qemu_writes_them(raw: bytes, value: object) -> None:
    assert decode(raw) == value


@pytest.mark.parametrize("raw", [b"infinite", b"x", b"", b'{"a": Inf}'])
def test_what_is_no_json_is_an_error(raw: bytes) -> None:
    with pytest.raises(NotJSONError):
        decode(raw)


@LAYOUTS
def test_reply_is_surely_begun_when_its_first_key_is_there(monitor_format: MonitorFormat) -> None:
    for message in (SUCCESS, FAILURE):
        raw = written(message, monitor_format)
        key = raw.index(b'"') + len(next(iter(message))) + 2
        assert monitor_format.is_reply_begun(raw)
        assert monitor_format.is_reply_begun(raw[:key])
        assert not monitor_format.is_reply_begun(raw[: key - 1])
    assert not monitor_format.is_reply_begun(written(EVENT, monitor_format))
    assert not monitor_format.is_reply_begun(b"")


@LAYOUTS
@pytest.mark.parametrize("message", MESSAGES, ids=json.dumps)
def test_spelling_is_that_of_qemu(monitor_format: MonitorFormat, message: dict[str, Any]) -> None:
    assert decode(monitor_format.spell(message)) == message
    assert list(decode(monitor_format.spell(message))) == list(message)
    assert monitor_format.find_end(monitor_format.spell(message), 0) == len(monitor_format.spell(message))


def test_spelling_byte_for_byte() -> None:
    assert LINES.spell({"return": [{}, "é"]}) == b'{"return": [{}, "\\u00E9"]}\r\n'
    assert PRETTY.spell({"return": {}}) == b'{\r\n    "return": {\r\n    }\r\n}\r\n'


@pytest.mark.parametrize("own", [0, None, "a", True, [1, {"k": None}], {"k": {}}, 1.5, -(2**63), ""], ids=json.dumps)
def test_id_is_last_in_a_success_and_first_in_an_error(own: object) -> None:
    command = {"execute": "x", "id": own}
    success = decode(LINES.spell_reply({"return": {}}, command))
    failure = decode(LINES.spell_reply({"error": {"class": "c", "desc": "d"}}, command))
    assert list(success.items()) == [("return", {}), ("id", own)]
    assert list(failure) == ["id", "error"]
    assert failure["id"] == own


def test_reply_without_id_has_none() -> None:
    assert LINES.spell_reply({"return": {}}, {"execute": "x"}) == b'{"return": {}}\r\n'
    assert PRETTY.spell_reply({"return": ""}, {"id": 1}) == b'{\r\n    "return": "",\r\n    "id": 1\r\n}\r\n'

"""QEMU's messages come out whole and in order wherever the reads cut them, and no byte of them twice."""

import json
import random
from typing import Any, Final

import pytest

from proxy.qmp_json.message_framer import MessageFramer
from proxy.qmp_json.messages import LINES, PRETTY, MonitorFormat
from tests.fakes.wire import spell

LAYOUTS: Final = pytest.mark.parametrize("monitor_format", [LINES, PRETTY], ids=["lines", "pretty"])
EVENT: Final[dict[str, Any]] = {"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}
MESSAGES: Final = [
    EVENT,
    {"return": {"a": [{}, [], {"b": "}\n{\r\n"}]}},
    {"id": 7, "error": {"class": "GenericError", "desc": 'a "timestamp"'}},
    {"return": {}},
    EVENT,
    {"return": [], "id": {"k": [{}]}},
    {"return": "", "id": None},
]


def spelled(monitor_format: MonitorFormat) -> list[bytes]:
    return [spell(message, pretty=monitor_format.is_pretty) for message in MESSAGES]


class Reader:
    """A framer with the messages that came out of it; takes_begun: a reply is taken as it comes."""

    def __init__(self, monitor_format: MonitorFormat, *, takes_begun: bool = False) -> None:
        self.framer = MessageFramer(monitor_format)
        self.messages: list[bytes] = []
        self._takes_begun = takes_begun
        self._taken = b""

    def receive(self, data: bytes) -> None:
        is_continued = self.framer.is_partly_taken
        whole, ends = self.framer.receive_data(data)
        start = 0
        for end in ends:
            self.messages.append(self._taken + whole[start:end])
            start, self._taken = end, b""
        assert not (is_continued and ends and self.messages[-len(ends)].startswith(b'{"timestamp"'))
        if self._takes_begun:
            self._taken += self.framer.take_begun_reply()


@LAYOUTS
@pytest.mark.parametrize("takes_begun", [False, True])
def test_every_split_gives_the_same_messages(monitor_format: MonitorFormat, takes_begun: bool) -> None:
    whole = spelled(monitor_format)
    stream = b"".join(whole)
    for cut in range(1, len(stream)):
        reader = Reader(monitor_format, takes_begun=takes_begun)
        reader.receive(stream[:cut])
        reader.receive(stream[cut:])
        assert reader.messages == whole, cut
        assert not reader.framer.has_begun


@LAYOUTS
@pytest.mark.parametrize("takes_begun", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_pieces_of_any_size_give_the_same_messages(monitor_format: MonitorFormat, takes_begun: bool, seed: int) -> None:
    rng = random.Random(seed)
    whole = spelled(monitor_format) * 3
    stream, at = b"".join(whole), 0
    reader = Reader(monitor_format, takes_begun=takes_begun)
    while at < len(stream):
        size = rng.choice((1, 1, 2, 5, 40, 300))
        reader.receive(stream[at : at + size])
        at += size
    assert reader.messages == whole


@LAYOUTS
def test_whole_messages_are_not_copied(monitor_format: MonitorFormat) -> None:
    data = b"".join(spelled(monitor_format))
    found, ends = MessageFramer(monitor_format).receive_data(data)
    assert found is data
    assert ends[-1] == len(data)
    assert len(ends) == len(MESSAGES)


def test_what_has_begun_is_kept_until_its_end() -> None:
    framer = MessageFramer(LINES)
    raw = json.dumps(EVENT).encode() + b"\r\n"
    assert framer.receive_data(raw[:5])[1] == []
    assert framer.has_begun
    assert framer.receive_data(raw[5:-1]) == (b"", [])
    assert framer.take_begun_reply() == b""  # an event may have to be hidden
    assert framer.receive_data(raw[-1:] + b"{") == (raw + b"{", [len(raw)])
    assert framer.has_begun


def test_begun_reply_is_taken_in_pieces_and_its_rest_comes_alone() -> None:
    framer = MessageFramer(LINES)
    framer.receive_data(b'{"return": {')
    assert framer.take_begun_reply() == b'{"return": {'
    assert framer.is_partly_taken
    assert not framer.has_begun
    assert framer.take_begun_reply() == b""
    framer.receive_data(b'"a": ')
    assert framer.take_begun_reply() == b'"a": '
    assert framer.receive_data(b"1}}\r\n") == (b"1}}\r\n", [5])
    assert not framer.is_partly_taken


@pytest.mark.parametrize("begun", [b'{"re', b'{"timestamp": {', b"{", b'{"other": 1, "return": {'])
def test_what_may_be_no_reply_is_not_taken(begun: bytes) -> None:
    framer = MessageFramer(LINES)
    framer.receive_data(begun)
    assert framer.take_begun_reply() == b""
    assert framer.receive_data(b"\n") == (begun + b"\n", [len(begun) + 1])


def test_pretty_reply_is_not_taken_in_pieces() -> None:
    framer = MessageFramer(PRETTY)
    framer.receive_data(b'{\r\n    "return": {\r\n')
    assert framer.take_begun_reply() == b""


def test_nothing_gives_nothing() -> None:
    framer = MessageFramer(LINES)
    assert framer.receive_data(b"") == (b"", [])
    assert not framer.has_begun

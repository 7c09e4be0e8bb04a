"""The lever of the fault tests, on plain sockets: it passes on all bytes, and stops where it is told to."""

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.integration.faults.relay import Kind, Message, Relay
from tests.integration.faults.strikes import wait_until
from tests.support.raw_client import DEADLINE_S, READ_BYTES, RawClient, command_bytes

STATUS: Final = command_bytes("query-status")
NAME: Final = command_bytes("query-name")
REPLY: Final = b'{"return": {}}\r\n'
EVENT: Final = b'{"event": "STOP"}\r\n'


@dataclass(frozen=True, slots=True)
class Ends:
    relay: Relay
    proxy: RawClient
    qemu: RawClient


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    path = str(tmp_path / "qemu")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.settimeout(DEADLINE_S)
        listening.bind(path)
        listening.listen()
        with Relay(tmp_path, path) as relay, RawClient.connect(relay.path) as proxy:
            accepted, _ = listening.accept()
            with RawClient(accepted) as qemu:
                yield Ends(relay, proxy, qemu)


def is_kind(kind: Kind, name: str) -> Callable[[Message], bool]:
    return lambda message: message.kind is kind and message.name == name


def has_nothing(end: RawClient) -> bool:
    end.socket.setblocking(False)
    try:
        end.socket.recv(READ_BYTES)
    except BlockingIOError:
        return True
    return False


def test_all_bytes_pass_and_replies_have_the_names_of_their_commands(ends: Ends) -> None:
    ends.proxy.send(STATUS + NAME)
    assert [ends.qemu.receive_message() for _ in range(2)] == [STATUS, NAME]
    ends.qemu.send(EVENT + REPLY + REPLY)
    assert [ends.proxy.receive_message() for _ in range(3)] == [EVENT, REPLY, REPLY]
    names = ["query-status", "query-name", "STOP", "query-status", "query-name"]
    assert [message.name for message in ends.relay.arrived] == names


def test_gate_holds_a_command_and_what_is_behind_it(ends: Ends) -> None:
    gate = ends.relay.gate(is_kind(Kind.COMMAND, "query-name"))
    ends.proxy.send(STATUS + NAME + STATUS)
    gate.wait()
    assert ends.qemu.receive_message() == STATUS
    ends.qemu.send(EVENT)
    assert ends.proxy.receive_message() == EVENT
    wait_until(lambda: len(ends.relay.commands("query-status")) == 2, "the last command")
    assert has_nothing(ends.qemu)
    gate.open()
    assert [ends.qemu.receive_message() for _ in range(2)] == [NAME, STATUS]


def test_out_of_band_command_and_its_reply_pass_a_gate(ends: Ends) -> None:
    gate = ends.relay.gate(is_kind(Kind.REPLY, "query-status"))
    ends.proxy.send(STATUS)
    ends.qemu.send(REPLY)
    gate.wait()
    ends.proxy.send(b'{"exec-oob": "query-yank", "id": 7}\n')
    assert ends.qemu.receive_message() == STATUS
    assert json.loads(ends.qemu.receive_message())["id"] == 7
    ends.qemu.send(b'{"return": [], "id": 7}\r\n')
    assert json.loads(ends.proxy.receive_message())["id"] == 7
    gate.open()
    assert ends.proxy.receive_message() == REPLY


def test_what_a_dead_proxy_wrote_and_is_held_up_is_lost(ends: Ends) -> None:
    gate = ends.relay.gate(is_kind(Kind.COMMAND, "query-name"))
    ends.proxy.send(NAME)
    gate.wait()
    ends.proxy.close()
    assert ends.qemu.expect_eof() == b""
    gate.open()


def test_what_a_dead_qemu_wrote_is_delivered_before_the_end(ends: Ends) -> None:
    gate = ends.relay.gate(is_kind(Kind.EVENT, "STOP"))
    ends.qemu.send(EVENT)
    gate.wait()
    ends.qemu.close()
    gate.open()
    assert ends.proxy.receive_message() == EVENT
    assert ends.proxy.expect_eof() == b""


def test_only_the_first_message_that_fits_is_stopped_at(ends: Ends) -> None:
    reached: list[str] = []
    gate = ends.relay.gate(is_kind(Kind.EVENT, "STOP"), lambda: reached.append("STOP"))
    assert not gate.is_reached
    ends.qemu.send(EVENT)
    gate.wait()
    gate.open()
    ends.qemu.send(EVENT)
    assert [ends.proxy.receive_message() for _ in range(2)] == [EVENT, EVENT]
    assert reached == ["STOP"]


def test_arguments_of_a_command_are_told_with_its_reply() -> None:
    message = Message(Kind.REPLY, "snapshot-save", {"arguments": {"tag": "t"}, "return": {}}, b"")
    assert message.arguments == {"tag": "t"}

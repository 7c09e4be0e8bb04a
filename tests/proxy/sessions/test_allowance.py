"""What the rules let a client send: when they change, and where an id was lost."""

from typing import Final

import pytest

from proxy.qmp_json.messages import format_of
from proxy.sessions.allowance import Allowance
from shim.graph.policy import Policy
from shim.rules.permissions import Permissions
from shim.rules.rules import ClientRules, Rule
from tests.support.routing.pure_router import NAME, Desk, greeting, hmp, reply

NO_QUIT: Final = Permissions((Rule.deny("quit", "human-monitor-command: quit", "query-jobs", "__hmpshim_plan"),))
QUIT: Final = b'{"execute":"quit"}\n'
TOO_LONG: Final = {"error": {"class": "GenericError", "desc": "JSON token size limit exceeded"}}
MIB: Final = 1024 * 1024


@pytest.mark.parametrize("command", [QUIT, hmp("quit"), b'{"execute":"query-jobs"}'])
def test_command_that_was_put_back_is_judged_by_new_rules(command: bytes) -> None:
    desk = Desk()
    client, other = desk.client(), desk.client(number=2)
    desk.send(other, NAME)
    desk.send(client, NAME + command)
    assert desk.written() == NAME * 2
    desk.dispatcher.set_policy(Policy(), NO_QUIT)
    desk.receive(reply(1) + reply(2))
    assert desk.written() == b""
    assert "is not allowed here" in desk.heard(client)[-1]["error"]["desc"]


def test_command_that_was_put_back_goes_where_new_rules_allow_it() -> None:
    desk = Desk()
    client, other = desk.client(), desk.client(number=2)
    desk.send(other, NAME)
    desk.send(client, NAME + QUIT)
    desk.written()
    desk.dispatcher.set_policy(Policy(), Permissions((Rule.deny("stop"),)))
    desk.receive(reply(1) + reply(2))
    assert desk.written() == QUIT


@pytest.mark.parametrize(
    ("data", "is_allowed"), [(NAME * 3, True), (NAME + b'{"execute": "query-status"}', True), (NAME + QUIT, False)]
)
def test_plain_commands_of_one_read_are_all_looked_at(data: bytes, is_allowed: bool) -> None:
    allowance = Allowance(format_of(greeting()))
    allowance.rules = ClientRules([(Rule.deny("quit"),)])
    for name in ("query-name", "query-status", "quit"):
        allowance.rules.judge({"execute": name})
    assert allowance.allows_plain(data) is is_allowed


def send_in_pieces(desk: Desk, data: bytes, *, negotiated: bool = True) -> list[object]:
    client = desk.client(negotiated=negotiated)
    for start in range(0, len(data), 200_000):
        desk.send(client, data[start : start + 200_000])
    return desk.heard(client)


@pytest.mark.parametrize("negotiated", [True, False])
@pytest.mark.parametrize("id", [b'"%s"' % (b"i" * 100), b"1" * 70, b'["%s"]' % (b"i" * 100)])
def test_answer_to_a_long_command_has_no_id_but_the_clients_own(id: bytes, negotiated: bool) -> None:
    command = b'{"execute":"quit","arguments":{"x":"%s"},"id":%s}' % (b"p" * 2 * MIB, id)
    assert send_in_pieces(Desk(permissions=NO_QUIT), command, negotiated=negotiated) == [TOO_LONG]


@pytest.mark.parametrize("id", [b'"short"', b"7", b"null", b"true"])
def test_short_id_of_a_long_command_is_repeated(id: bytes) -> None:
    command = b'{"execute":"quit","arguments":{"x":"%s"},"id":%s}' % (b"p" * 2 * MIB, id)
    (answer,) = send_in_pieces(Desk(permissions=NO_QUIT), command)
    assert isinstance(answer, dict)
    assert answer["id"] == {b'"short"': "short", b"7": 7, b"null": None, b"true": True}[id]

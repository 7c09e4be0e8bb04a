"""Commands that the rules do not let through: their answer, its place, what is on record, and what never reaches QEMU."""

import json
import random
from typing import Any, Final

import pytest

from proxy.routing.denials import Denials
from proxy.sessions.session import Session
from shim.client import Client
from shim.graph.policy import Mode, Policy
from shim.records.audit import Action
from shim.rules.permissions import Permissions, Role
from shim.rules.rules import Rule, Whom
from tests.support.routing.pure_router import GETFD, NAME, Desk, ModelQEMU, hmp, names, reply
from tests.support.shim.forbidden import HARMLESS_NAMES, RULES, cut, forbidden_streams

QUIT: Final = b'{"execute":"quit"}\n'
NO_QUIT: Final = {"error": {"class": "GenericError", "desc": "Command 'quit' is not allowed here"}}
NS_PER_S: Final = 10**9


def a_desk(*rules: Rule, role: Role = Role.ALL, policy: Policy | None = None) -> Desk:
    return Desk(permissions=Permissions(rules, role), policy=policy or Policy())


def denied(name: str, kind: str = "Command") -> dict[str, Any]:
    return {"error": {"class": "GenericError", "desc": f"{kind} '{name}' is not allowed here"}}


# -- the answer -----------------------------------------------------------------------------------------------------------


def test_denied_command_is_an_error_with_the_clients_id() -> None:
    desk = a_desk(Rule.deny("quit"))
    session = desk.client()
    desk.send(session, b'{"execute":"quit","id":{"a":[1]}}')
    assert desk.heard(session) == [{"id": {"a": [1]}} | NO_QUIT]
    assert desk.written() == b""


def test_answer_is_spelled_as_this_monitor_spells() -> None:
    desk = Desk(ModelQEMU(pretty=True), permissions=Permissions((Rule.deny("quit"),)))
    session = desk.client()
    desk.send(session, QUIT)
    assert bytes(desk.said[session]).startswith(b'{\r\n    "error": {\r\n')


def test_answer_stands_in_its_place() -> None:
    desk = a_desk(Rule.deny("quit"))
    session = desk.client()
    desk.send(session, NAME + b'{"execute":"quit","id":1}' + NAME)
    assert desk.heard(session) == []
    desk.run()
    assert names(desk.heard(session)) == ["return", "error", "return"]


def test_answer_comes_after_what_qemu_owes_to_others() -> None:
    """As that to a command would that QEMU gets and refuses."""
    desk = a_desk(Rule.deny("quit"))
    other, session = desk.client(), desk.client(number=2)
    desk.send(other, NAME)
    desk.send(session, QUIT)
    assert desk.heard(session) == []
    desk.run()
    assert desk.heard(session) == [NO_QUIT]
    assert names(desk.heard(other)) == ["return"]


def test_denied_command_waits_for_its_turn_while_a_plan_runs() -> None:
    desk = a_desk(Rule.deny("quit"))
    other, session = desk.client(), desk.client(number=2)
    desk.send(other, hmp("savevm t"))
    desk.send(session, QUIT)
    assert desk.heard(session) == []
    desk.run()
    assert desk.heard(session)[-1] == NO_QUIT


@pytest.mark.parametrize("name", ["quit", "nosuch", "x-y", "snapshot-save", ""])
def test_answer_does_not_tell_whether_there_is_such_a_command(name: str) -> None:
    desk = a_desk(role=Role.READ_ONLY)
    session = desk.client()
    desk.send(session, json.dumps({"execute": name}).encode())
    assert desk.heard(session) == [denied(name)]


def test_command_that_cannot_be_one_is_denied_too() -> None:
    desk = a_desk(role=Role.READ_ONLY)
    session = desk.client()
    for spelled in (b'{"execute":1}', b'{"id":1}', b"{}", b'{"execute":"quit","x":1}'):
        desk.send(session, spelled)
    assert names(desk.heard(session)) == ["error"] * 4
    assert desk.written() == b""


def test_malformed_input_is_answered_as_ever() -> None:
    desk = a_desk(role=Role.READ_ONLY)
    session = desk.client()
    desk.send(session, b"]")
    assert "JSON" in desk.heard(session)[0]["error"]["desc"]


def test_negotiation_needs_no_permission() -> None:
    desk = a_desk(Rule.deny("*"))
    session = desk.client(negotiated=False)
    desk.send(session, b'{"execute":"qmp_capabilities"}')
    assert desk.heard(session) == [{"return": {}}]
    desk.send(session, b'{"execute":"qmp_capabilities"}')
    assert desk.heard(session) == [denied("qmp_capabilities")]


def test_rules_are_for_the_client_that_they_name() -> None:
    desk = a_desk(Rule.deny("quit", whom=Whom(executables=("/bin/tool2",))))
    assert isinstance(desk.dispatcher.denials, Denials)
    free, bound = desk.client(), desk.client(number=2)
    assert free.rules is None
    desk.send(free, QUIT)
    desk.send(bound, QUIT)
    assert desk.written() == QUIT
    assert bound.rules is not None


def test_other_rules_hold_for_the_commands_that_come_then() -> None:
    desk = a_desk()
    session = desk.client()
    desk.send(session, NAME)
    desk.dispatcher.set_policy(Policy(), Permissions(role=Role.READ_ONLY))
    desk.send(session, QUIT)
    desk.dispatcher.set_policy(Policy(), Permissions())
    desk.send(session, NAME)
    assert desk.written() == NAME + NAME


# -- descriptors and out-of-band ------------------------------------------------------------------------------------------


def test_descriptors_of_a_denied_command_are_closed() -> None:
    desk = a_desk(Rule.deny("getfd"))
    session = desk.client()
    desk.send(session, GETFD, (7, 8))
    assert desk.closed == [7, 8]
    assert desk.heard(session) == [denied("getfd")]
    assert desk.written() == b""


def test_descriptors_do_not_go_with_the_next_command() -> None:
    desk = a_desk(Rule.deny("getfd"))
    session = desk.client()
    desk.send(session, GETFD + b'{"execute":"add-fd"}', (7,))
    assert desk.closed == [7]
    assert [segment.descriptors for segment in desk.to_qemu] == [()]


def test_descriptors_of_a_denied_command_that_was_not_begun_are_closed() -> None:
    desk = a_desk(Rule.deny("getfd"))
    session = desk.client()
    desk.send(session, hmp("savevm t"))
    desk.send(session, GETFD, (7,))
    desk.dispatcher.abandonment.receive_hang_up(session)
    desk.take()
    assert desk.closed == [7]


def test_denied_out_of_band_command_is_answered_at_once() -> None:
    desk = a_desk(Rule.deny("yank"))
    session = desk.client(oob=True)
    desk.send(session, NAME + b'{"exec-oob":"yank","id":5}')
    assert desk.heard(session) == [{"id": 5} | denied("yank")]
    assert b"yank" not in desk.written()


def test_denied_out_of_band_command_is_not_answered_within_a_reply() -> None:
    desk = a_desk(Rule.deny("yank"))
    session, other = desk.client(oob=True), desk.client(number=2)
    desk.send(session, NAME)
    desk.send(other, NAME)
    whole = reply("x" * 40)
    desk.receive(whole[:20])
    desk.send(session, b'{"exec-oob":"yank","id":5}')
    assert desk.said[session] == whole[:20]
    desk.receive(whole[20:])
    assert [answer["id"] for answer in desk.heard(session)] == ["x" * 40, 5]
    desk.receive(reply("other"))
    assert (desk.heard(other), desk.dispatcher.owes_nothing) == ([{"return": {}, "id": "other"}], True)


def test_every_denied_out_of_band_command_is_answered() -> None:
    """More of them in one read than QEMU would take at a time, with some that are allowed among them."""
    desk = a_desk(Rule.deny("yank"))
    session = desk.client(oob=True)
    denied_ones = b"".join(b'{"exec-oob":"yank","id":%d}' % number for number in range(30))
    desk.send(session, denied_ones)
    assert [answer["id"] for answer in desk.heard(session)] == list(range(30))
    desk.send(session, b'{"exec-oob":"query-yank"}' * 20 + denied_ones)
    desk.run()
    assert names(desk.heard(session)).count("error") == 30
    assert desk.dispatcher.owes_nothing


def test_allowed_out_of_band_command_overtakes() -> None:
    desk = a_desk(role=Role.READ_ONLY)
    session = desk.client(oob=True)
    desk.send(session, b'{"exec-oob":"query-yank","id":5}')
    assert b"query-yank" in desk.written()


# -- plans ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "rule"), [("savevm t", "rule 1"), ("info status", "role read-only")])
def test_proxy_tells_the_client_which_rule_decides_for_it(line: str, rule: str) -> None:
    desk = a_desk(Rule.deny("savevm", name="rule 1"), role=Role.READ_ONLY)
    session = desk.client()
    desk.send(session, json.dumps({"execute": "__hmpshim_plan", "arguments": {"command-line": line}}).encode())
    desk.run()
    (answer,) = desk.heard(session)
    assert answer["return"]["plan"]["rule"] == rule


def test_plan_needs_a_permission() -> None:
    desk = a_desk(Rule.deny("__hmpshim_*"))
    session = desk.client()
    desk.send(session, b'{"execute":"__hmpshim_plan","arguments":{"command-line":"x"}}')
    assert desk.heard(session) == [denied("__hmpshim_plan")]


# -- records and the log --------------------------------------------------------------------------------------------------


def test_refusals_of_hmp_and_snapshot_commands_are_on_record() -> None:
    desk = a_desk(Rule.deny("quit", "savevm", "snapshot-save", name="rule 1 (deny …)"))
    session = desk.client()
    desk.send(session, hmp("q", 1) + hmp("savevm t") + b'{"execute":"snapshot-save"}' + QUIT)
    assert [(record.command_line, record.action, record.reason, record.reply) for record in desk.records] == [
        ("q", Action.REFUSED, "denied by rule 1 (deny …)", {"id": 1} | denied("q", "HMP command")),
        ("savevm t", Action.REFUSED, "denied by rule 1 (deny …)", denied("savevm", "HMP command")),
        (None, Action.REFUSED, "denied by rule 1 (deny …)", denied("snapshot-save")),
    ]
    assert all(record.has_failed for record in desk.records)
    assert desk.order[-4:] == ["record"] * 3 + ["answer"]


def test_denied_command_that_is_not_begun_is_abandoned() -> None:
    desk = a_desk(Rule.deny("quit"))
    session = desk.client()
    desk.send(session, hmp("savevm t") + hmp("quit"))
    desk.dispatcher.abandonment.receive_hang_up(session)
    desk.take()
    assert [(record.command_line, record.action) for record in desk.records] == [("quit", Action.ABANDONED)]


def test_denied_command_after_a_failure_is_what_the_client_went_on_with() -> None:
    desk = a_desk(Rule.deny("cont"))
    session = desk.client()
    desk.send(session, hmp("loadvm none"))
    desk.run()
    desk.send(session, b'{"execute":"cont"}')
    assert [record.action for record in desk.records] == [Action.REWRITTEN, Action.WENT_ON]


def test_log_is_not_the_clients_to_fill() -> None:
    desk = a_desk(Rule.deny("quit", name="rule 1"))
    session = desk.client()
    desk.send(session, QUIT * 100)
    assert desk.notices == ["VM vm1: Command 'quit' of /bin/tool1 (pid 1, uid 0) was denied by rule 1"]
    desk.clock.pass_ns(11 * NS_PER_S)
    desk.send(session, QUIT)
    assert str(desk.notices[1]).endswith("; 99 of this user's were denied earlier, and are not in this log")


def test_log_is_told_how_many_more_there_were_if_no_other_comes() -> None:
    desk = a_desk(Rule.deny("quit", name="rule 1"))
    session = desk.client()
    desk.send(session, QUIT)
    assert not desk.dispatcher.denials.are_untold
    desk.send(session, QUIT * 99)
    desk.notices.clear()
    for seconds, is_told in ((9, False), (2, True), (30, False)):
        desk.clock.pass_ns(seconds * NS_PER_S)
        desk.dispatcher.poll()
        desk.take()
        assert bool(desk.notices) is is_told
        assert desk.dispatcher.denials.are_untold is (seconds == 9)
        assert desk.notices in ([], ["VM vm1: 99 more commands of /bin/tool1 (pid 1, uid 0) were denied"])
        desk.notices.clear()


def test_log_is_told_how_many_more_there_were_at_the_end() -> None:
    desk = a_desk(Rule.deny("quit"))
    desk.send(desk.client(), QUIT * 3)
    desk.notices.clear()
    desk.dispatcher.give_up()
    desk.take()
    assert desk.notices == ["VM vm1: 2 more commands of /bin/tool1 (pid 1, uid 0) were denied"]


def test_each_user_has_a_line_of_the_log() -> None:
    desk = a_desk(Rule.deny("quit"))
    for uid in range(250):
        session = desk.dispatcher.add_session(Client(1, uid, "/bin/x"))
        desk.said[session] = bytearray()
        desk.send(session, b'{"execute":"qmp_capabilities"}' + QUIT + QUIT)
    more = "VM vm1: 100 more commands of 100 users were denied"
    assert desk.notices.count(more) == 2
    assert len(desk.notices) == 250 + 2


# -- mode enforce ---------------------------------------------------------------------------------------------------------


def test_enforce_keeps_its_text_for_hmp_and_has_an_error_for_the_rest() -> None:
    desk = a_desk(policy=Policy(mode=Mode.ENFORCE))
    session = desk.client()
    desk.send(session, hmp("stop") + b'{"execute":"object-add","arguments":{"qom-type":"monitor-hmp"}}')
    assert desk.heard(session) == [
        {"return": "Error: HMP command 'stop' is not allowed here; use QMP: stop\r\n"},
        denied("object-add"),
    ]


# -- nothing is smuggled --------------------------------------------------------------------------------------------------


def deeds(desk: Desk) -> set[str]:
    """Return the names of all that the model of QEMU was asked for, and the HMP lines that it got."""
    found = set()
    for command in desk.qemu.received:
        found |= {str(command.get("execute")), str(command.get("exec-oob")), str(command.get("arguments"))}
    return found


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("oob", [False, True])
def test_nothing_that_is_denied_reaches_qemu(seed: int, oob: bool) -> None:
    rng = random.Random(f"{seed} {oob}")
    for stream in forbidden_streams(seed):
        desk = a_desk(*RULES)
        sessions: list[Session] = [desk.client(oob=oob), desk.client(number=2)]
        for piece in cut(rng, stream):
            desk.send(sessions[0], piece)
            if rng.random() < 0.3:
                desk.send(sessions[1], NAME)
            if rng.random() < 0.5:
                desk.run()
        desk.run()
        assert deeds(desk) <= {*HARMLESS_NAMES, "None"}, stream
        assert desk.dispatcher.owes_nothing


@pytest.mark.parametrize("seed", range(5))
def test_the_same_streams_do_reach_qemu_without_rules(seed: int) -> None:
    """Else the test above would prove nothing."""
    found: set[str] = set()
    for stream in forbidden_streams(seed):
        desk = Desk()
        desk.send(desk.client(), stream)
        desk.run()
        found |= deeds(desk)
    assert {"quit", "object-add", "human-monitor-command"} <= found

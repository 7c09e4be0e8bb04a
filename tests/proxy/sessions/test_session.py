"""One client: its negotiation, the order of its commands, its descriptors, and what is told from the rest."""

import json
from typing import Any, Final

import pytest

from proxy.sessions.requests import Denied, Forward, HMPRequest, LocalReply, Request
from proxy.sessions.session import Session
from proxy.sessions.session_state import State
from shim.rules.rules import ClientRules, Rule
from tests.support.routing.negotiation_cases import CAPABILITIES, ENVELOPES, IDS, IN_HASH_ORDER
from tests.support.routing.pure_router import a_session, hmp

NAME: Final = b'{"execute":"query-name"}'
GETFD: Final = b'{"execute":"getfd","arguments":{"fdname":"x"}}'
ENABLE_OOB: Final = b'{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}'
YANK: Final = b'{"exec-oob":"query-yank","id":1}'


def requests(session: Session, data: bytes, descriptors: tuple[int, ...] = ()) -> list[Request]:
    """Feed, and take all that is to be done."""
    session.inbox.receive_data(data, descriptors)
    assert not session.inbox.unclaimed
    return taken(session)


def taken(session: Session) -> list[Request]:
    found = []
    while session.inbox.has_input and not session.is_busy:
        if (request := session.next_request()) is not None:
            found.append(request)
    return found


def replies(session: Session, data: bytes) -> list[Any]:
    """Feed what is answered here, and decode the answers."""
    answers = []
    for request in requests(session, data):
        assert isinstance(request, LocalReply), request
        answers.append(json.loads(request.line))
    return answers


def error(desc: str, error_class: str = "GenericError") -> dict[str, Any]:
    return {"error": {"class": error_class, "desc": desc}}


class TestNegotiation:
    def test_greeting_is_sent_first(self) -> None:
        session = a_session()
        assert session.data_to_send() == b""
        assert not session.is_negotiated

    def test_any_other_command_is_refused_with_its_id(self) -> None:
        refusal = error("Expecting capabilities negotiation with 'qmp_capabilities'", "CommandNotFound")
        assert replies(a_session(), b'{"execute":"quit","id":[1]}') == [{"id": [1]} | refusal]

    @pytest.mark.parametrize(("message", "text"), [row for row in ENVELOPES if row[1] and row[0] not in IN_HASH_ORDER], ids=str)
    def test_envelope_is_checked(self, message: dict[str, Any], text: str) -> None:
        (reply,) = replies(a_session(), json.dumps(message).encode())
        assert reply.pop("id", "none") == message.get("id", "none")
        assert reply == error(text)

    @pytest.mark.parametrize(("arguments", "text"), CAPABILITIES, ids=str)
    def test_capabilities_are_checked(self, arguments: dict[str, Any], text: str | None) -> None:
        session = a_session()
        (reply,) = replies(session, json.dumps({"execute": "qmp_capabilities", "arguments": arguments}).encode())
        assert reply == (error(text) if text else {"return": {}})
        assert session.is_negotiated is (text is None)

    @pytest.mark.parametrize("own", IDS, ids=repr)
    def test_success_has_the_id(self, own: object) -> None:
        command = json.dumps({"execute": "qmp_capabilities", "id": own}).encode()
        assert replies(a_session(), command) == [{"return": {}, "id": own}]

    def test_malformed_input_is_answered_and_the_client_goes_on(self) -> None:
        answers = replies(a_session(), b'[] 5 {"execute":"qmp_capabilities"}')
        assert answers == [error("QMP input must be a JSON object")] * 2 + [{"return": {}}]

    def test_oob_without_the_offer_is_refused(self) -> None:
        assert replies(a_session(offers_oob=False), ENABLE_OOB) == [error("Capability oob not available")]

    def test_commands_behind_it_in_the_same_read_are_forwarded(self) -> None:
        session = a_session()
        local, forward = requests(session, b'{"execute":"qmp_capabilities"}\n' + NAME)
        assert isinstance(local, LocalReply)
        assert forward == Forward(NAME)

    def test_pretty_client_is_answered_pretty(self) -> None:
        (reply,) = requests(a_session(pretty=True), b'{"execute":"qmp_capabilities"}')
        assert reply == LocalReply(b'{\r\n    "return": {\r\n    }\r\n}\r\n')


class TestRefusals:
    def test_nothing_is_plain_behind_a_failure_that_only_a_text_told(self) -> None:
        session = a_session(negotiated=True)
        assert session.count_plain(NAME, 9) == 1
        session.note_outcome("loadvm t")
        assert session.count_plain(NAME, 9) == 0

    @pytest.mark.parametrize("own", IDS, ids=repr)
    def test_exec_oob_without_oob_is_refused(self, own: object) -> None:
        command = json.dumps({"exec-oob": "query-yank", "id": own}).encode()
        refusal = {"id": own} | error("QMP input member 'exec-oob' is unexpected")
        assert replies(a_session(negotiated=True), command) == [refusal]


class TestOrder:
    def test_commands_behind_a_busy_one_wait(self) -> None:
        session = a_session(negotiated=True)
        session.inbox.receive_data(hmp("savevm t") + NAME + b" [] " + NAME)
        assert isinstance(session.next_request(), HMPRequest)
        session.wait()
        assert session.next_request() is None
        assert session.inbox.has_input
        session.release()
        kinds = [type(request) for request in taken(session)]
        assert kinds == [Forward, LocalReply, Forward]
        assert not session.inbox.has_input

    @pytest.mark.parametrize("cut", range(1, len(hmp("savevm t") + NAME)))
    def test_every_split_gives_the_same_requests(self, cut: int) -> None:
        stream = hmp("savevm t") + NAME
        whole = requests(a_session(negotiated=True), stream)
        session = a_session(negotiated=True)
        parts = requests(session, stream[:cut]) + requests(session, stream[cut:])
        assert [type(request) for request in parts] == [HMPRequest, Forward] == [type(request) for request in whole]
        assert b"".join(request.raw for request in parts if isinstance(request, HMPRequest | Forward)) == stream

    def test_nobody_is_told_of_malformed_input_that_is_dropped(self) -> None:
        session = a_session(negotiated=True)
        session.inbox.receive_data(b'} [] 5 {"execute":"query-status"}')
        dropped = []
        while session.inbox.has_input:
            dropped.append(session.drop_request())
        assert [type(request) for request in dropped if request is not None] == [Forward]

    def test_half_an_object_at_eof_is_dropped(self) -> None:
        session = a_session(negotiated=True)
        assert requests(session, NAME + b'{"execute":"qui') == [Forward(NAME)]
        session.receive_eof()
        assert session.next_request() is None
        assert session.is_finished

    def test_client_that_left_is_not_finished_while_something_is_due(self) -> None:
        session = a_session(negotiated=True)
        session.inbox.receive_data(NAME)
        session.receive_eof()
        assert not session.is_finished
        session.next_request()
        session.owe()
        assert not session.is_finished
        session.settle()
        session.wait()
        assert not session.is_finished
        session.release()
        assert session.is_finished

    def test_cut_throws_away_what_is_written(self) -> None:
        session = a_session(negotiated=True)
        session.send(b"one")
        assert session.cut() == ()
        session.send(b"two")
        assert session.data_to_send() == b""
        assert session.has_left
        assert session.state is State.CUT
        assert session.cut() == ()

    def test_data_to_send_is_given_once(self) -> None:
        session = a_session()
        session.send(b"one")
        session.send(b"two")
        assert session.data_to_send() == b"onetwo"
        assert session.data_to_send() == b""


class TestOutOfBand:
    def messages(self, session: Session) -> list[dict[str, Any]]:
        return [command.message for command in session.inbox.take_out_of_band(8)]

    def test_it_is_diverted(self) -> None:
        session = a_session(oob=True)
        assert requests(session, NAME + YANK + NAME) == [Forward(NAME), Forward(NAME)]
        assert self.messages(session) == [json.loads(YANK)]
        assert self.messages(session) == []

    def test_it_overtakes_a_busy_command(self) -> None:
        session = a_session(oob=True)
        session.wait()
        assert requests(session, NAME + YANK) == []
        assert self.messages(session) == [json.loads(YANK)]
        session.release()
        assert taken(session) == [Forward(NAME)]

    def test_it_is_diverted_in_the_read_that_enables_it(self) -> None:
        session = a_session()
        local, forward = requests(session, ENABLE_OOB + NAME + YANK)
        assert isinstance(local, LocalReply)
        assert forward == Forward(NAME)
        assert self.messages(session) == [json.loads(YANK)]

    def test_with_both_keys_it_is_in_band(self) -> None:
        raw = b'{"execute":"query-name","exec-oob":"query-yank"}'
        session = a_session(oob=True)
        assert requests(session, raw) == [Forward(raw)]
        assert self.messages(session) == []

    def test_before_the_negotiation_it_is_refused(self) -> None:
        session = a_session()
        assert replies(session, YANK) == [{"id": 1} | error("QMP input member 'exec-oob' is unexpected")]
        assert self.messages(session) == []


class TestDescriptors:
    """Numbers stand for descriptors: a session only carries them."""

    def test_they_go_with_the_command_that_takes_them(self) -> None:
        for raw in (GETFD, b'{"execute":"add-fd"}'):
            assert requests(a_session(negotiated=True), raw, (5, 6)) == [Forward(raw, (5, 6), True)]

    def test_they_go_with_the_first_command_that_takes_any(self) -> None:
        assert requests(a_session(negotiated=True), NAME + GETFD + GETFD, (5,)) == [
            Forward(NAME), Forward(GETFD, (5,), True), Forward(GETFD, (), True),
        ]  # fmt: skip

    def test_they_wait_for_a_command_that_takes_them(self) -> None:
        session = a_session(negotiated=True)
        assert requests(session, NAME + GETFD[:9], (5,)) == [Forward(NAME)]
        assert requests(session, GETFD[9:]) == [Forward(GETFD, (5,), True)]

    def test_they_are_kept_through_the_negotiation(self) -> None:
        session = a_session()
        assert len(requests(session, GETFD, (5,))) == 1
        assert len(requests(session, b'{"execute":"qmp_capabilities"}')) == 1
        assert requests(session, GETFD) == [Forward(GETFD, (5,), True)]

    def test_new_ones_replace_those_that_nobody_took(self) -> None:
        session = a_session(negotiated=True)
        assert requests(session, NAME, (5, 6)) == [Forward(NAME)]
        session.inbox.receive_data(GETFD, (7,))
        assert taken(session) == [Forward(GETFD, (7,), True)]
        assert session.inbox.unclaimed == [5, 6]
        assert session.cut() == (5, 6)

    def test_those_that_nobody_took_are_given_back_at_the_end(self) -> None:
        session = a_session(negotiated=True)
        requests(session, GETFD[:9], (5,))
        assert session.cut() == (5,)
        assert session.cut() == ()

    def test_those_of_waiting_commands_are_given_back_when_qemu_is_lost(self) -> None:
        session = a_session(negotiated=True)
        session.wait()
        requests(session, GETFD + NAME, (5,))
        dropped = []
        while session.inbox.has_input:
            dropped.append(session.drop_request())
        assert dropped[:2] == [Forward(GETFD, (5,), True), Forward(NAME)]
        assert not session.inbox.has_input
        assert session.is_busy

    def test_hmp_getfd_takes_none(self) -> None:
        """QEMU runs it on a monitor without a character device, so that it finds none (7.2); they stay for the next one."""
        session = a_session(negotiated=True)
        (request,) = requests(session, hmp("getfd x"), (5,))
        assert isinstance(request, HMPRequest)
        assert requests(session, GETFD) == [Forward(GETFD, (5,), True)]

    @pytest.mark.parametrize("oob", [False, True])
    def test_command_that_is_refused_for_exec_oob_takes_none(self, oob: bool) -> None:
        session = a_session(negotiated=True, oob=oob)
        assert len(requests(session, b'{"execute":"getfd","exec-oob":"x"}', (5,))) == 1
        assert requests(session, GETFD) == [Forward(GETFD, (5,), True)]


class TestRules:
    def test_plain_command_takes_the_short_way_once_it_is_known_to_be_allowed(self) -> None:
        session = a_session(negotiated=True)
        session.rules = ClientRules([(Rule.deny("quit"),)])
        assert session.count_plain(NAME, 9) == 0
        assert requests(session, NAME) == [Forward(NAME)]
        assert session.count_plain(NAME, 9) == 1
        assert session.count_plain(NAME * 3, 9) == 3

    def test_denied_command_never_takes_it(self) -> None:
        session = a_session(negotiated=True)
        session.rules = ClientRules([(Rule.deny("quit"),)])
        requests(session, NAME)
        quit = b'{"execute": "quit"}'
        for _ in range(3):
            assert session.count_plain(quit, 9) == 0
            assert session.count_plain(NAME + quit, 9) == 0
            assert session.count_plain(quit + NAME, 9) == 0
            assert session.count_plain(b'{"execute":"quit", "id": 1}', 9) == 0
            (denied,) = requests(session, quit)
            assert isinstance(denied, Denied)
        # A name within a text is no name.
        assert session.count_plain(b'{"execute":"query-name", "id": "quit"}', 9) == 1

    def test_command_that_depends_on_its_arguments_never_takes_it(self) -> None:
        session = a_session(negotiated=True)
        session.rules = ClientRules([(Rule.deny("object-add: monitor-*"),)])
        command = b'{"execute":"object-add"}'
        for _ in range(2):
            requests(session, command)
            assert session.count_plain(command, 9) == 0

    def test_what_was_denied_is_kept_with_its_request(self) -> None:
        session = a_session(negotiated=True)
        session.rules = ClientRules([(Rule.deny("*", name="rule 1"),)])
        (denied,) = requests(session, hmp("savevm t"))
        assert isinstance(denied, Denied)
        assert isinstance(denied.request, HMPRequest)
        assert denied.verdict.reason == "rule 1"
        assert not denied.takes_descriptors

    @pytest.mark.parametrize(
        "command",
        [
            b'{"execute":"%s"' % b"".join(b"\\u%04x" % char for char in b"human-monitor-command"),
            b'{"execute":"human-monitor-command"',
            b'{"execute":"object-add"',
            b'{"execute":"x-object-add"',
            b'{"execute":"query-name","exec-oob":"quit"',
            b'{"execute":"quit"',
        ],
    )
    def test_long_command_is_denied_where_only_all_of_it_would_tell(self, command: bytes) -> None:
        """Its long strings are not decoded, so that a name, a key or a value may be hidden in one."""
        session = a_session(negotiated=True)
        session.rules = ClientRules([(Rule.deny("quit", "object-add: monitor-*"),)])
        line = b"".join(b"\\u%04x" % char for char in b"command-line")
        arguments = b'"arguments":{"%s":"%sq","qom-type":"x"}' % (line, b" " * 70)
        found = requests(session, b'{"id":"%s",%s,%s}' % (b"x" * 1_100_000, command[1:], arguments))
        assert [type(request) for request in found] in ([Denied], [LocalReply])

    def test_long_command_whose_name_decides_passes(self) -> None:
        session = a_session(negotiated=True)
        session.rules = ClientRules([(Rule.deny("quit"),)])
        (request,) = requests(session, b'{"execute":"ringbuf-write","arguments":{"data":"%s"}}' % (b"x" * 1_100_000))
        assert isinstance(request, Forward)


def test_negotiation_that_a_client_had_sent_before_it_was_cut_changes_nothing() -> None:
    session = a_session()
    session.inbox.receive_data(b'{"execute":"qmp_capabilities"}')
    session.cut()
    assert session.drop_request() is not None
    assert session.state is State.CUT

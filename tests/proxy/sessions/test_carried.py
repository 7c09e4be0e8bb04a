"""A session as a value, and the session that is made of it."""

import pytest

from proxy.qmp_json.items import Begun
from proxy.qmp_json.position import Place
from proxy.sessions.carried import CarriedSession, carried, go_on_as
from shim.qmp import QEMUVersion
from tests.support.routing.pure_router import NAME, Desk, a_session


@pytest.mark.parametrize(
    "value",
    [
        CarriedSession(False, False, False, None, Begun(), ()),
        CarriedSession(True, False, True, "loadvm t", Begun(b'{"execute": "qu', b"\n "), (7,)),
        CarriedSession(True, True, False, None, Begun(recovers=True), ()),
    ],
)
def test_what_is_made_of_a_value_has_the_same(value: CarriedSession) -> None:
    session = a_session()
    go_on_as(session, value)
    session.inbox.receive_data(value.begun.data, value.descriptors)
    assert session.data_to_send() == b""
    assert carried(session) == value


def test_place_in_the_stream_is_carried() -> None:
    desk = Desk(version=QEMUVersion(11, 1, 0))
    session = desk.client()
    desk.send(session, NAME + b' {"a"')
    value = carried(session)
    assert value is not None
    # After the negotiation's line and that of the command.
    assert value.begun == Begun(b'{"a"', b" ", Place(3, 1))


def test_what_qemu_is_half_through_refusing_cannot_be_carried() -> None:
    desk = Desk(version=QEMUVersion(11, 1, 0))
    session = desk.client()
    desk.send(session, b"{1,")
    assert carried(session) is None


def test_command_that_is_not_begun_cannot_be_carried() -> None:
    session = a_session(negotiated=True)
    session.inbox.receive_data(NAME)
    assert carried(session) is None

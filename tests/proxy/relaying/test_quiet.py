"""When a VM is quiet; and a router that is handed over at such a moment goes on as if nothing had been.

test_random_clients.py hands random clients over.
"""

from typing import Final

import pytest

from proxy.relaying.quiet import why_not_quiet
from shim.client import Client
from shim.qmp import QEMUVersion
from shim.records.audit import Action
from tests.fakes.vm import DEBIAN_12
from tests.support.routing.handed_desk import hand_over
from tests.support.routing.pure_router import EVENT, GETFD, NAME, Desk, hmp, names

PIECES: Final = (
    *(NAME, hmp("info name", 1), hmp("savevm t", 2), b'{"execute":"query-jobs"}\n', b" \x01 [", b"}\n", b"12 "),
    *(b'{1, "a": 2}\n', b"tru\n", NAME),
)


def reason(desk: Desk) -> str | None:
    return why_not_quiet(desk.router, desk.dispatcher, desk.turns)


def test_vm_without_anything_under_way_is_quiet() -> None:
    desk = Desk()
    desk.client()
    assert reason(desk) is None


def test_each_thing_that_is_under_way_is_told() -> None:
    desk = Desk()
    desk.start()
    assert reason(desk) == "QEMU has not answered all commands"
    desk.run()
    one, other = desk.client(), desk.client(number=2)
    desk.send(one, hmp("savevm t"))
    assert reason(desk) == "a snapshot command runs"
    desk.send(other, NAME)
    desk.run()
    assert reason(desk) is None
    desk.turns.pause.begin()
    assert reason(desk) == "its snapshot commands are paused"
    desk.turns.pause.end()
    desk.receive(EVENT[:5])
    assert reason(desk) == "QEMU has sent a part of a message"
    desk.receive(EVENT[5:])
    desk.dispatcher.outbox.notices.append("something")
    assert reason(desk) == "something is still to be written"
    desk.take()
    other.inbox.receive_data(NAME)
    assert reason(desk) == "commands of /bin/tool2 (pid 2, uid 0) have not begun"
    desk.dispatcher.abandonment.receive_eof(other)
    desk.take()
    assert reason(desk) == "/bin/tool2 (pid 2, uid 0) is leaving"
    desk.dispatcher.abandonment.remove_session(other)
    desk.take()
    desk.dispatcher.add_session(Client(is_proxy=True))
    desk.dispatcher.outbox.sessions_to_flush()
    assert reason(desk) == "the proxy itself asks QEMU"


def heard(version: QEMUVersion, *pieces: bytes, cut: int | None = None) -> bytes | None:
    """Return what a client hears that sends this, and is handed over after so many bytes; None if it cannot be."""
    desk = Desk(version=version)
    session = desk.client()
    stream = b"".join(pieces)
    for part in (stream,) if cut is None else (stream[:cut], stream[cut:]):
        desk.send(session, part)
        desk.run()
        if cut is not None and part is not stream[cut:]:
            said = desk.said[session]
            if (handed := hand_over(desk)) is None:
                return None
            desk, sessions = handed
            session = sessions[session]
            desk.said[session] += said
    return bytes(desk.said[session])


@pytest.mark.parametrize("version", [DEBIAN_12, QEMUVersion(11, 1, 0)], ids=str)
def test_wherever_a_client_is_handed_over_it_hears_the_same(version: QEMUVersion) -> None:
    stream = b"".join(PIECES)
    whole = heard(version, stream)
    told = [heard(version, stream, cut=cut) for cut in range(1, len(stream))]
    assert {one for one in told if one is not None} == {whole}
    # QEMU 11.1 passes over the rest of what it has refused, and how much that is nobody can say again.
    assert sum(one is None for one in told) == (0 if version is DEBIAN_12 else 8)


def test_what_was_agreed_upon_is_carried() -> None:
    """OOB, a prompt, and a failure that was told in the text of a reply only."""
    desk = Desk()
    with_oob, prompt, early = desk.client(oob=True), desk.client(number=2), desk.client(negotiated=False, number=3)
    desk.send(prompt, b'{"execute": "__hmpshim_query-proxy", "arguments": {"is-prompt": true}}')
    desk.send(with_oob, hmp("loadvm nosuch"))
    desk.run()
    handed = hand_over(desk)
    assert handed is not None
    after, sessions = handed
    assert sessions[with_oob].hears_end_of_file
    assert sessions[prompt].is_prompt
    assert sessions[with_oob].failed_command == "loadvm nosuch"
    assert not sessions[early].is_negotiated
    after.send(sessions[with_oob], NAME)
    after.run()
    assert [record.action for record in after.records] == [Action.WENT_ON]
    after.receive(EVENT)
    assert [names(after.heard(sessions[one])) for one in (with_oob, prompt, early)] == [
        ["return", "POWERDOWN"],
        ["POWERDOWN"],
        [],
    ]


def test_descriptors_that_wait_are_carried() -> None:
    desk = Desk()
    session = desk.client()
    desk.send(session, GETFD[:9], (7, 8))
    handed = hand_over(desk)
    assert handed is not None
    after, sessions = handed
    after.send(sessions[session], GETFD[9:])
    assert [segment.descriptors for segment in after.to_qemu] == [(7, 8)]

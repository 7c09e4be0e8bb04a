"""Who is owed what, and where an answer of ours stands among the replies of QEMU."""

from typing import Final

import pytest

from proxy.qmp_json.messages import format_of
from proxy.routing.outbox import Outbox
from proxy.routing.pending import LocalLine, PendingReplies, without_own_jobs
from tests.support.routing.pure_router import NAME, a_session, greeting

LINE: Final = b'{"return": {}}\r\n'
PLAIN: Final = format_of(greeting())


def test_what_goes_to_qemu_is_owed() -> None:
    outbox = Outbox()
    pending, session = PendingReplies(outbox), a_session()
    pending.owe(session, session, NAME)
    assert (list(pending.queue), outbox.to_qemu, session.unanswered) == ([session], [NAME], 1)


def test_answer_goes_out_at_once_where_its_client_is_owed_nothing() -> None:
    outbox = Outbox()
    pending, session, other = PendingReplies(outbox), a_session(), a_session()
    pending.owe(other, other, NAME)
    pending.answer(session, LINE)
    assert session.data_to_send() == LINE
    assert list(pending.queue) == [other]


@pytest.mark.parametrize("is_its_own", [True, False])
def test_last_answer_waits_for_what_anybody_is_owed(is_its_own: bool) -> None:
    outbox = Outbox()
    pending, session = PendingReplies(outbox), a_session()
    before = session if is_its_own else a_session()
    pending.owe(before, before, NAME)
    pending.answer_last(session, LINE)
    assert session.data_to_send() == b""
    assert list(pending.queue) == [before, LocalLine(session, LINE)]
    pending.settle_local_lines()
    assert session.data_to_send() == b"", "a reply of QEMU's comes first"
    pending.queue.popleft()
    before.settle()
    pending.settle_local_lines()
    assert session.data_to_send() == LINE
    assert not pending.queue
    assert not session.unanswered


@pytest.mark.parametrize(
    "line",
    [
        b'{"return": [{"id": "job0", "type": "commit"}]}\r\n',
        b'{"error": {"class": "GenericError", "desc": "no job \'hmpshim-1\'"}}\r\n',
    ],
)
def test_reply_without_jobs_of_ours_is_as_it_came(line: bytes) -> None:
    assert without_own_jobs(line, PLAIN, "hmpshim-") == line


def test_jobs_of_ours_are_left_out() -> None:
    line = b'{"return": [{"id": "hmpshim-1", "type": "x"}, {"id": "job0", "type": "commit"}], "id": 5}\r\n'
    assert without_own_jobs(line, PLAIN, "hmpshim-") == b'{"return": [{"id": "job0", "type": "commit"}], "id": 5}\r\n'

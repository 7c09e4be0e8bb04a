"""What a client has sent and is not begun: bytes until the next command is wanted, and what overtakes is looked for."""

import json
from typing import Final

from proxy.qmp_json.framing import Command, CommandFramer
from proxy.sessions.inbox import Inbox
from proxy.sessions.requests import Carrier
from shim.qmp import QEMUVersion

NAME: Final = b'{"execute":"query-name","arguments":{}}\n'
GETFD: Final = b'{"execute":"getfd","arguments":{"fdname":"x"}}\n'
YANK: Final = b'{"exec-oob":"query-yank"}\n'


def an_inbox() -> Inbox:
    return Inbox(CommandFramer(QEMUVersion(7, 2)))


def taken(inbox: Inbox) -> list[object]:
    found: list[object] = []
    while inbox.has_input:
        if (item := inbox.take()) is not None:
            found.append(item)
    return found


def test_commands_are_cut_a_step_at_a_time() -> None:
    inbox = an_inbox()
    inbox.receive_data(NAME * 1000)
    assert 0 < len(inbox.items) < 100
    assert inbox.is_unread
    assert len(taken(inbox)) == 1000


def test_pieces_are_counted_until_all_is_taken() -> None:
    inbox = an_inbox()
    inbox.receive_data(NAME)
    inbox.receive_data(NAME + b'{"execute":')
    assert inbox.kept_bytes == len(NAME) * 2 + 11
    assert len(taken(inbox)) == 2
    assert inbox.kept_bytes == 11
    inbox.receive_data(b'"x"}')
    assert len(taken(inbox)) == 1
    assert inbox.kept_bytes == 0


def test_what_is_put_back_comes_first() -> None:
    inbox = an_inbox()
    inbox.receive_data(NAME + GETFD)
    first = inbox.take()
    assert isinstance(first, Command)
    inbox.put_back(first)
    names = [item.message["execute"] for item in taken(inbox) if isinstance(item, Command)]
    assert names == ["query-name", "getfd"]


def test_steps_without_an_item_are_no_end() -> None:
    inbox = an_inbox()
    brackets = b'{"a":' + b"[" + b"[1]," * 10_000 + b"1]}"
    inbox.receive_data(brackets[:-1])
    inbox.receive_data(brackets[-1:])
    assert inbox.take() is None
    assert inbox.has_input
    assert len(taken(inbox)) == 1


def test_out_of_band_commands_are_looked_for_behind_a_thousand_others() -> None:
    inbox = an_inbox()
    inbox.enable_out_of_band()
    inbox.receive_data(NAME * 100 + YANK)
    assert [command.message for command in inbox.take_out_of_band(8)] == [json.loads(YANK)]
    inbox.receive_data(NAME * 5000 + YANK)
    assert not inbox.out_of_band
    assert len(inbox.items) < 2000
    assert len(taken(inbox)) == 5100
    assert len(inbox.out_of_band) == 1


def test_flood_of_out_of_band_commands_is_read_no_further_than_a_thousand() -> None:
    inbox = an_inbox()
    inbox.enable_out_of_band()
    inbox.receive_data(YANK * 5000 + NAME)
    for _ in range(100):
        assert inbox.take() is None
    assert len(inbox.out_of_band) < 1100
    assert (inbox.has_input, inbox.is_unread) == (True, False)
    count = 0
    while found := inbox.take_out_of_band(8):
        count += len(found)
        inbox.read_ahead()
    assert count == 5000
    assert len(taken(inbox)) == 1


def test_once_nothing_is_begun_nothing_overtakes() -> None:
    inbox = an_inbox()
    inbox.enable_out_of_band()
    inbox.receive_data(YANK * 3000)
    inbox.drop_order()
    assert 1000 < len(taken(inbox)) < 3000
    assert not inbox.out_of_band


def test_out_of_band_commands_that_have_come_already_overtake_too() -> None:
    inbox = an_inbox()
    inbox.receive_data(NAME + YANK + NAME)
    inbox.enable_out_of_band()
    assert len(inbox.take_out_of_band(8)) == 1
    assert len(taken(inbox)) == 2


def test_descriptors_are_counted_and_go_with_their_own_command() -> None:
    inbox = an_inbox()
    inbox.receive_data(NAME, (5,))
    inbox.receive_data(GETFD, (6, 7))
    assert inbox.descriptor_count == 3
    carriers = [item for item in taken(inbox) if isinstance(item, Carrier)]
    assert [carrier.descriptors for carrier in carriers] == [(6, 7)]
    assert (inbox.descriptor_count, inbox.take_unclaimed(), inbox.descriptor_count) == (1, [5], 0)


def test_descriptors_of_commands_that_wait_are_counted_and_read_no_further_than_eight() -> None:
    inbox = an_inbox()
    inbox.enable_out_of_band()
    for number in range(1, 9):
        assert inbox.wants_more
        inbox.receive_data(GETFD, (number,))
        assert inbox.descriptor_count == number
    assert not inbox.wants_more
    inbox.take()
    assert (inbox.wants_more, inbox.descriptor_count) == (True, 7)


def test_descriptors_of_what_is_not_read_are_dropped_with_it() -> None:
    inbox = an_inbox()
    inbox.receive_data(NAME, (5,))
    inbox.receive_data(GETFD, (6, 7))
    assert inbox.drop_descriptors() == (5, 6, 7)
    assert (inbox.descriptor_count, len(taken(inbox))) == (0, 2)


def test_out_of_band_commands_count_as_long_as_they_are() -> None:
    inbox = an_inbox()
    inbox.enable_out_of_band()
    inbox.receive_data(b'{"exec-oob":"x","id":"%s"}' % (b"x" * 600_000))
    assert len(inbox.out_of_band) == 1
    assert inbox.kept_bytes > 600_000
    assert inbox.wants_more
    inbox.receive_data(b'{"exec-oob":"x","id":"%s"}' % (b"x" * 600_000))
    assert not inbox.wants_more
    inbox.take_out_of_band(8)
    assert (inbox.kept_bytes, inbox.wants_more) == (0, True)


def test_out_of_band_command_behind_much_else_is_found_in_steps() -> None:
    inbox = an_inbox()
    inbox.enable_out_of_band()
    inbox.receive_data(b'{"execute":"x","arguments":{"a":[%s]}}' % b",".join([b"{}"] * 8000) + YANK)
    assert not inbox.out_of_band
    while inbox.looks_ahead:
        before = inbox.steps
        inbox.read_ahead()
        assert inbox.steps - before <= 2
    assert len(inbox.out_of_band) == 1


def test_what_is_malformed_counts_until_it_is_answered() -> None:
    inbox = an_inbox()
    inbox.receive_data(b"} } }")
    assert inbox.take() is not None
    assert inbox.kept_bytes >= 100
    assert len(taken(inbox)) == 2
    assert inbox.kept_bytes < 100

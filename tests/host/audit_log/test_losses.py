"""Each lost record is reported once, by whoever writes next; and one full log does not fill another."""

import pytest

from host.audit_log import losses as module
from host.audit_log.losses import Losses, LossesByLog, Lost

WHY = "cannot write the audit log /log: No space left on device"
BEGINS = f"{WHY}; records are lost until it can be written again"


class Clock:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def fail(losses: Losses, count: int = 1) -> None:
    for _ in range(count):
        losses.add(1, WHY)
        losses.complain(WHY, "records are lost")


def write(losses: Losses) -> int:
    with losses.reported() as count:
        return count


def test_loss_is_reported_by_the_next_record_that_is_written() -> None:
    losses = Losses("/log")
    fail(losses, 2)
    with pytest.raises(OSError, match="full"), losses.reported() as count:
        raise OSError(f"full, and {count} are not reported")
    assert (losses.untold, write(losses), write(losses)) == (2, 2, 0)
    assert (losses.untold, losses.ever, losses.why) == (0, 2, WHY)


def test_loss_is_reported_once_where_two_write_at_a_time() -> None:
    losses = Losses("/log")
    fail(losses, 2)
    with losses.reported() as first:
        fail(losses)
        assert (first, write(losses)) == (2, 1)
    assert (losses.untold, losses.ever) == (0, 3)


def test_what_is_lost_out_of_turn_is_counted_at_once_and_reported_in_its_turn() -> None:
    losses = Losses("/log")
    losses.add_early(3, WHY)
    assert (losses.ever, write(losses)) == (3, 0)
    losses.report_early(3)
    assert (losses.ever, write(losses)) == (3, 3)


def test_full_disk_is_told_when_it_begins_then_once_a_minute_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    losses = Losses("/log", clock)
    fail(losses, 300)
    assert caplog.messages == [BEGINS]
    clock.now_s += 61
    fail(losses, 300)
    assert caplog.messages[1:] == [f"{BEGINS}; records lost so far: 301"]
    assert write(losses) == 600
    write(losses)
    assert caplog.messages[2:] == ["audit log /log: it can be written again; records lost meanwhile: 600"]
    fail(losses)
    assert caplog.messages[3:] == [f"{BEGINS}; records lost so far: 601"]


def test_disk_that_takes_every_second_record_is_told_a_few_times_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    losses = Losses("/log", clock)
    for _ in range(100):
        fail(losses)
        write(losses)
    assert sum(message.startswith(BEGINS) for message in caplog.messages) == 5
    assert len(caplog.messages) == 10
    clock.now_s += 61
    fail(losses)
    assert caplog.messages[10:] == [f"{BEGINS}; records lost so far: 101"]


def test_failure_that_is_no_loss_is_told_like_one(caplog: pytest.LogCaptureFixture) -> None:
    losses = Losses("/log")
    losses.add(0, WHY)
    losses.complain(WHY, "commands are refused")
    write(losses)
    assert caplog.messages == [
        f"{WHY}; commands are refused until it can be written again",
        "audit log /log: it can be written again; records lost meanwhile: 0",
    ]


def test_record_from_before_a_loss_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    losses = Losses("/log")
    losses.add_early(1, WHY)
    losses.complain(WHY, "records are lost")
    write(losses)
    assert caplog.messages == [BEGINS]


def test_another_process_reports_what_was_handed_over(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = Losses("/log"), Losses("/log")
    fail(ours, 18)
    lost = ours.hand_over()
    assert lost == Lost("/log", 18, 18, WHY)
    assert (ours.untold, ours.ever) == (0, 18)
    theirs.take_over(lost)
    assert (theirs.untold, theirs.ever, theirs.why) == (18, 18, WHY)
    fail(theirs)
    assert (write(theirs), write(ours)) == (19, 0)
    fail(ours)
    assert ours.hand_over() == Lost("/log", 1, 1, WHY)
    assert caplog.messages == [
        BEGINS,
        f"{BEGINS}; records lost so far: 19",
        "audit log /log: it can be written again; records lost meanwhile: 19",
        f"{BEGINS}; records lost so far: 19",
    ]


def test_what_is_not_handed_over_after_all_is_reported_here() -> None:
    losses = Losses("/log")
    fail(losses, 2)
    losses.take_back(losses.hand_over())
    assert losses.hand_over() == Lost("/log", 2, 2, WHY)


def test_what_a_record_reports_that_is_being_written_is_not_handed_over() -> None:
    losses = Losses("/log")
    fail(losses, 2)
    with losses.reported() as count:
        assert (count, losses.hand_over().untold) == (2, 0)
    assert losses.untold == 0


def test_what_no_record_reports_is_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    logs = LossesByLog()
    logs.of("/quiet")
    logs.of("/log").add(2, WHY)
    logs.tell_end()
    assert caplog.messages == ["audit log /log: records lost at its end that no later record reports: 2"]


def test_closed_log_that_is_opened_again_reports_what_was_lost() -> None:
    logs = LossesByLog()
    losses = logs.of("/log")
    losses.add(1, WHY)
    logs.let_go("/log")
    logs.let_go("/log")
    assert logs.of("/log") is losses


def test_only_logs_that_have_lost_something_are_kept_and_only_so_many(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_MOST_CLOSED", 2)
    logs = LossesByLog()
    for number in range(4):
        logs.of(f"/quiet{number}")
        logs.let_go(f"/quiet{number}")
        logs.of(f"/log{number}").add(1, WHY)
        if number:
            logs.let_go(f"/log{number}")
    assert sorted(logs._losses) == ["/log0", "/log2", "/log3"]
    assert caplog.messages == ["audit log /log1: records lost at its end that no later record reports: 1"]


def test_losses_of_a_log_that_is_not_open_are_taken_over_too() -> None:
    logs = LossesByLog()
    assert logs.hand_over("/log") is None
    logs.take_over(None)
    logs.take_over(Lost("/log", 0, 0, ""))
    assert logs._losses == {}
    for lost in (Lost("/log", 2, 3, WHY), Lost("/log", 1, 1, WHY)):
        logs.take_over(lost)
    assert logs.hand_over("/log") == Lost("/log", 3, 4, WHY)


def test_all_that_is_left_is_handed_over_at_the_end_or_stays() -> None:
    logs = LossesByLog()
    logs.of("/quiet")
    logs.of("/log").add(1, WHY)
    for _ in range(2):
        (lost,) = logs.hand_over_all()
        assert lost == Lost("/log", 1, 1, WHY)
        assert logs.hand_over_all() == []
        logs.take_back(lost)

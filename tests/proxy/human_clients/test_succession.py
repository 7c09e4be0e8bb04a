"""What one client at HMP's prompt leaves to the next."""

from proxy.human_clients.succession import Succession
from proxy.human_monitor.monitor_state import MonitorState
from tests.fakes.vm import DEBIAN_12


def enter(state: MonitorState, line: bytes) -> None:
    for byte in line + b"\n":
        state.editor.feed(byte)
    state.editor.show_prompt()


def test_newcomer_begins_with_what_the_last_to_leave_has_left() -> None:
    succession = Succession(DEBIAN_12)
    first, second = succession.begin(), succession.begin()
    enter(first, b"first")
    enter(second, b"second")
    first.cpu_index = 1
    succession.leave(second)
    succession.leave(first)
    for newcomer in (succession.begin(), succession.begin()):
        assert (newcomer.editor.history.lines, newcomer.cpu_index) == ([b"first"], 1)


def test_clients_that_are_there_change_nothing_for_each_other() -> None:
    succession = Succession(DEBIAN_12)
    first, second = succession.begin(), succession.begin()
    enter(first, b"first")
    first.resume("", is_reading_password=True)
    assert (second.editor.history.lines, second.editor.is_reading_password) == ([], False)


def test_nobody_waits_for_the_command_of_one_that_left() -> None:
    """It ends for those that come after that."""
    succession = Succession(DEBIAN_12)
    gone = succession.begin()
    gone.suspend(chosen_cpu=1)
    succession.leave(gone)
    assert (succession.begin().is_suspended, succession.begin().cpu_index) == (False, None)
    gone.resume("")
    assert succession.begin().cpu_index == 1

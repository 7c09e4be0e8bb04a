"""What a monitor keeps while a command runs, and after it."""

import pytest

from proxy.human_monitor.monitor_state import MonitorState
from shim.qmp import QEMUVersion


@pytest.mark.parametrize(
    ("chosen", "output", "kept"),
    [(1, "", 1), (1, "Error: invalid CPU index\r\n", 0), (None, "", 0)],
    ids=["good", "no such CPU", "other command"],
)
def test_cpu_is_kept_if_qemu_says_nothing(chosen: int | None, output: str, kept: int) -> None:
    state = MonitorState(QEMUVersion(7, 2))
    state.cpu_index = 0
    state.suspend(chosen_cpu=chosen)
    assert (state.is_suspended, state.cpu_index) == (True, 0)
    state.resume(output)
    assert (state.is_suspended, state.cpu_index) == (False, kept)


def test_cpu_of_one_command_is_not_kept_by_the_next() -> None:
    state = MonitorState(QEMUVersion(7, 2))
    state.suspend(chosen_cpu=1)
    state.resume("Error: invalid CPU index\r\n")
    state.suspend()
    state.resume("")
    assert state.cpu_index is None


def test_password_mode_lasts_for_one_line() -> None:
    state = MonitorState(QEMUVersion(7, 2))
    state.resume("", is_reading_password=True)
    assert state.editor.is_reading_password
    state.resume("")
    assert not state.editor.is_reading_password

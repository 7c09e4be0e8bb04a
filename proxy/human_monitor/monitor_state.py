"""What a monitor keeps while no client is connected to it."""

from copy import deepcopy
from typing import Self

from proxy.human_monitor.line_editor import LineEditor
from shim.qmp import QEMUVersion

__all__ = ["MonitorState"]


class MonitorState:
    """One per monitor, for as long as its QEMU runs; one Dialogue after the other works on it.

    editor: the history, the position in it, and whether a password is being asked for.
    cpu_index: N of the last successful `cpu N`, for the `cpu-index` of each human-monitor-command; None before the first.
    is_suspended: a client's command runs, and nothing is read. That client may be gone when the command ends.
    """

    __slots__ = ("_chosen_cpu", "cpu_index", "editor", "is_suspended", "version")

    def __init__(self, version: QEMUVersion) -> None:
        self.version = version
        self.editor = LineEditor(version)
        self.cpu_index: int | None = None
        self.is_suspended = False
        self._chosen_cpu: int | None = None

    def successor(self) -> Self:
        """Return a copy for the next client, which does not wait for a command of this one that may still run."""
        copied = deepcopy(self)
        copied.is_suspended = False
        copied._chosen_cpu = None
        return copied

    def suspend(self, *, chosen_cpu: int | None = None) -> None:
        """Note that a command begins. chosen_cpu: N if it is `cpu N`."""
        self.is_suspended = True
        self._chosen_cpu = chosen_cpu

    def resume(self, output: str, *, is_reading_password: bool = False) -> None:
        """Note that the command has ended and what it printed, even if its client has gone.

        is_reading_password: it asks for a password, so the next line is not a command.
        """
        self.is_suspended = False
        self.editor.is_reading_password = is_reading_password
        if self._chosen_cpu is not None and not output:
            self.cpu_index = self._chosen_cpu
        self._chosen_cpu = None

"""Whom a command waits for if QEMU is not working for it: another client's save or load.

A proxy says it at its control socket. QEMU only sends events when a job begins; HMP's own savevm on another monitor shows only
in QEMU's silence.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from host.net.addresses import TCPAddress, UnixAddress
from repl.finding.control import OthersCommand, ServedVM, ask_proxy, control_paths
from repl.finding.holding import known_as
from repl.finding.processes import is_stopped
from repl.link import Event
from repl.output.show import duration_text
from repl.progress.aside import Aside
from repl.progress.silence import Silence
from repl.progress.work import is_question
from repl.results import Running
from shim.printable import printable

__all__ = ["Others", "served_at"]

# A QEMU that has not answered for this long is in the middle of a save or load.
_SILENT_S: Final = 1.0
_ASK_S: Final = 1.0
_NS_PER_S: Final = 1_000_000_000
_BEGINS: Final = frozenset({"created", "running"})


class Others:
    """What the prompt waits for. Call `take_event` for each event, and `text` or `sentence` whenever it is to be shown.

    address: what the prompt is connected to. vm: the VM's name if that is a proxy, else None. server: the process that listens
    there; None where that is not known.
    """

    def __init__(
        self,
        address: UnixAddress | TCPAddress,
        vm: Callable[[], str | None] = lambda: None,
        *,
        server: Callable[[], int | None] = lambda: None,
        controls: Callable[[], Sequence[Path]] = control_paths,
    ) -> None:
        self._address = address
        self._vm = vm
        self._server = server
        self._controls = controls
        self._looks = Aside(self._look, self._take)
        self._next_look_ns = 0
        self._told: tuple[OthersCommand, str, int] | None = None
        # The process that listens there, if it stands still.
        self._stopped: int | None = None
        # The job that began last, and when.
        self._job: tuple[str, int] | None = None

    def take_event(self, event: Event, *, is_own: bool) -> None:
        """Note which job began last. is_own: the job is this prompt's."""
        if event.name == "JOB_STATUS_CHANGE" and not is_own:
            job = str(event.data.get("id"))
            if event.data.get("status") in _BEGINS:
                self._job = job, time.monotonic_ns()
            elif self._job is not None and job == self._job[0]:
                self._job = None

    def text(self, silence: Silence | None, running: Running | None = None) -> str:
        """Return whom the prompt waits for, and for how long; "" for nobody, or if it cannot know.

        silence: None if QEMU owes no answer. running: the command of this prompt that is under way, if any.
        """
        now_ns = time.monotonic_ns()
        if silence is None or now_ns - silence.since_ns < _SILENT_S * _NS_PER_S:
            self._told, self._stopped, self._next_look_ns = None, None, 0
            return ""
        if now_ns >= self._next_look_ns:
            self._next_look_ns = now_ns + round(_ASK_S * _NS_PER_S)
            self._looks.start()
        lasts = duration_text(now_ns - silence.since_ns)
        if self._told is not None:
            told, who, told_ns = self._told
            if _is_ours(told, self._address, running):
                return ""
            lasts = duration_text(round(told.for_s * _NS_PER_S) + now_ns - told_ns)
            return printable(f"waits for '{told.command.strip()}' of {who}: {lasts}")
        if running is not None and not is_question(running.under_way()):
            return ""
        # A job during which QEMU has answered is none of snapshots.
        if self._job is not None and self._job[1] > silence.heard_ns:
            return printable(f"waits for job '{self._job[0]}' of another client: {lasts}")
        return f"QEMU has not answered for {lasts}" + ("; it may be saving or loading" if self._stopped is None else "")

    @property
    def stopped(self) -> tuple[str, ...]:
        """Which process a signal has stopped, QEMU or the proxy, and what resumes it, as `text` saw it last; () for none."""
        if self._stopped is None:
            return ()
        return (
            f"{'QEMU' if self._vm() is None else 'hmp-proxy'} (pid {self._stopped}) is stopped",
            f"'kill -CONT {self._stopped}' resumes it",
        )

    def sentence(self, silence: Silence | None, running: Running | None = None) -> str:
        """Return `text`, and which process is stopped, in one line."""
        return "; ".join(filter(None, (self.text(silence, running), *self.stopped)))

    def _look(self) -> tuple[OthersCommand | None, str, int | None]:
        """Look whose command runs, what a person calls that client, and which process is stopped."""
        server = self._server()
        vm = served_at(self._address, self._vm(), self._controls())
        running = None if vm is None else vm.running
        who = "" if running is None else running.who if running.client is None else known_as(running.client)
        return running, who, server if server is not None and is_stopped(server) else None

    def _take(self, found: tuple[OthersCommand | None, str, int | None]) -> None:
        running, who, self._stopped = found
        self._told = None if running is None else (running, who, time.monotonic_ns())


def _is_ours(told: OthersCommand, address: UnixAddress | TCPAddress, running: Running | None) -> bool:
    """Return whether it is this prompt's own command. On TCP, a proxy does not know the process."""
    if running is None or told.command.strip() != running.command_line.strip().removeprefix("qmp "):
        return False
    return isinstance(address, TCPAddress) or f"(pid {os.getpid()}, " in told.who


def served_at(address: UnixAddress | TCPAddress, name: str | None, controls: Iterable[Path]) -> ServedVM | None:
    """Return what a proxy says about the VM at an address, which may be the proxy's socket or QEMU's. This blocks."""
    for path in controls:
        for vm in ask_proxy(path) or ():
            if address in vm.listen or str(address) == vm.upstream or (name is not None and name == vm.name):
                return vm
    return None

"""What was lost of an audit log: how many records its next record has to report, how many there were in all, and what the
program's own log says of that.

The counts belong to a log's name, and not to an open file: a log is closed and opened again while its disk is full, several
writers may write to it at once, and another process may go on with it. None of that makes a loss unreported, or reported twice.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Losses", "LossesByLog", "Lost"]

_log = logging.getLogger(__name__)

# A log that stays unwritable is told of once in this time.
_PERIOD_S = 60.0
# A disk that is almost full takes one record and not the next; so many of these changes are told in one period.
_MOST_TOLD = 5
# VMs that are discovered may each have a log of its own, and come and go.
_MOST_CLOSED = 1000


@dataclass(frozen=True, slots=True)
class Lost:
    """What another process is to report. log: the log's name. untold: records that no record has reported yet. ever: all that
    were lost. why: why the last one was lost.
    """

    log: str
    untold: int
    ever: int
    why: str


class Losses:
    """Count the lost records of one log. Any thread may call any method.

    log: the log's name. untold: records lost that no later record has reported. ever: all records lost. why: why the last one
    was lost, or "".
    """

    def __init__(self, log: str, now_s: Callable[[], float] = time.monotonic) -> None:
        self.log = log
        self.untold = self.ever = 0
        self.why = ""
        self._now_s = now_s
        self._lock = threading.Lock()
        # How many of `untold` are reported by records that are being written, and how many of `ever` another process counts.
        self._reporting = self._handed_over = 0
        # Nothing has been written since the last failure.
        self._is_failing = False
        # When the program's log was last told of a failure, and whether it was told of this one.
        self._told_s: deque[float] = deque(maxlen=_MOST_TOLD)
        self._is_told = False

    def add(self, count: int, why: str) -> None:
        """Count records that could not be written, which the next one is to report. count: 0 for what is no loss."""
        with self._lock:
            self.untold += count
            self.ever += count
            self.why = why
            self._is_failing = True

    def add_early(self, count: int, why: str) -> None:
        """Count records that are lost while earlier ones still wait to be written. Call `report_early` after those."""
        with self._lock:
            self.ever += count
            self.why = why

    def report_early(self, count: int) -> None:
        """Have the next record report these."""
        with self._lock:
            self.untold += count

    @contextmanager
    def reported(self) -> Iterator[int]:
        """Yield how many losses the record that is written in this context is to report. If that raises, a later one is to."""
        with self._lock:
            count = self.untold - self._reporting
            self._reporting += count
        try:
            yield count
        except BaseException:
            with self._lock:
                self._reporting -= count
            raise
        self._note_written(count)

    def complain(self, why: str, consequence: str) -> None:
        """Tell the program's log why records cannot be written: when that begins, and then once a minute. consequence: what
        happens until they can.
        """
        now_s = self._now_s()
        with self._lock:
            if self._is_told_enough(now_s):
                return
            self._told_s.append(now_s)
            self._is_told = True
        so_far = f"; records lost so far: {self.ever}" if self.ever > 1 else ""
        _log.error("%s; %s until it can be written again%s", why, consequence, so_far)

    def tell_end(self) -> None:
        """Tell the program's log at its end what no record reports."""
        if self.untold:
            _log.warning("audit log %s: records lost at its end that no later record reports: %d", self.log, self.untold)

    # Another process goes on with the log.

    def hand_over(self) -> Lost:
        """Return what another process is to report and count from now on."""
        with self._lock:
            untold, ever = self.untold - self._reporting, self.ever - self._handed_over
            self.untold -= untold
            self._handed_over += ever
            # The other process's log tells when records can be written again.
            self._is_told &= untold == 0
            return Lost(self.log, untold, ever, self.why)

    def take_back(self, lost: Lost) -> None:
        """Report after all what was to be handed over."""
        with self._lock:
            self.untold += lost.untold
            self._handed_over -= lost.ever
            self._is_told |= lost.untold > 0

    def take_over(self, lost: Lost) -> None:
        """Report and count from now on what another process has lost."""
        with self._lock:
            self.untold += lost.untold
            self.ever += lost.ever
            self.why = self.why or lost.why
            # That process has told its log of it.
            self._is_told |= lost.untold > 0

    def _note_written(self, count: int) -> None:
        with self._lock:
            self._reporting -= count
            self.untold -= count
            is_over = self._is_told and (self._is_failing or count > 0)
            self._is_failing = False
            self._is_told &= not is_over
        if is_over:
            _log.warning("audit log %s: it can be written again; records lost meanwhile: %d", self.log, count)

    def _is_told_enough(self, now_s: float) -> bool:
        if self._is_told:
            return bool(self._told_s) and now_s - self._told_s[-1] < _PERIOD_S
        return len(self._told_s) == _MOST_TOLD and now_s - self._told_s[0] < _PERIOD_S


class LossesByLog:
    """The losses of all logs of a process. They outlast a log that is closed, because it may be opened again."""

    def __init__(self) -> None:
        self._losses: dict[str, Losses] = {}
        # Logs that are closed and have lost something, the first closed first.
        self._closed: dict[str, None] = {}

    def of(self, log: str) -> Losses:
        """Return the losses of the log of that name, which is to be opened. Call `let_go` when it is closed."""
        self._closed.pop(log, None)
        return self._losses.setdefault(log, Losses(log))

    def let_go(self, log: str) -> None:
        """Note that a log is closed. Calling it again does nothing."""
        losses = self._losses.get(log)
        if losses is None or not (losses.ever or losses.untold):
            self._losses.pop(log, None)
            return
        self._closed[log] = None
        if len(self._closed) > _MOST_CLOSED:
            oldest = next(iter(self._closed))
            del self._closed[oldest]
            self._losses.pop(oldest).tell_end()

    def hand_over(self, log: str) -> Lost | None:
        """Return what another process is to report and count of a log; None if that is nothing."""
        return self._losses[log].hand_over() if log in self._losses else None

    def hand_over_all(self) -> list[Lost]:
        """Return what another process is to report and count of all logs."""
        handed_over = [losses.hand_over() for losses in self._losses.values()]
        return [lost for lost in handed_over if lost.untold or lost.ever]

    def take_back(self, lost: Lost) -> None:
        """Report and count after all what was to be handed over."""
        self._losses[lost.log].take_back(lost)

    def take_over(self, lost: Lost | None) -> None:
        """Report and count what another process has lost of a log; nothing if that is None."""
        if lost is None:
            return
        is_open = lost.log in self._losses
        self._losses.setdefault(lost.log, Losses(lost.log)).take_over(lost)
        if not is_open:
            self.let_go(lost.log)

    def tell_end(self) -> None:
        """Tell the program's log at its end what no record reports."""
        for losses in self._losses.values():
            losses.tell_end()

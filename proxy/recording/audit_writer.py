"""One audit log, written on a thread of its own.

With `--audit-failure refuse`, which refuses what cannot be recorded, and with `--audit-sync`, which has each record on disk
before its answer, answers wait for their records as long as it takes. Otherwise answers wait, too, so that whoever has one
finds its record, but not for long: once the log has been stuck for a second, answers go out immediately until it has caught up,
and the records follow. The amount that waits to be written is limited; what does not fit is lost, counted and reported.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Self

from host.audit_log.log import AuditLog, open_audit_log
from host.audit_log.losses import Losses, Lost
from host.errors import AuditError
from host.settings.config import AuditSettings
from proxy.recording.disk_thread import DiskThread
from shim.records.audit import AuditRecord

__all__ = ["LAST_WRITE_S", "AuditWriter"]

_log = logging.getLogger(__name__)

# How long an answer waits for a record that may also come later. A stuck log costs this once, not once per answer.
_PATIENCE_S: Final = 1.0
# How much may wait to be written. A record takes some 2 KB in memory, besides its texts, which a client can make long.
_MOST_QUEUED_BYTES: Final = 64 * 1024 * 1024
_RECORD_BYTES: Final = 2048
# How long the end of the process waits for what is to be written.
LAST_WRITE_S: Final = 5.0


@dataclass(slots=True, eq=False)
class _Batch:
    """Records that are to be written. on_written: None if nothing waits for them, or does not any more."""

    since_s: float
    count: int
    size_bytes: int
    on_written: Callable[[], object] | None


class AuditWriter:
    """Write records to a log, which this owns. Call `close` at the end.

    refuses: a command must be on record before it runs. identify: the AuditLog's.
    """

    def __init__(self, audit_log: AuditLog, settings: AuditSettings, thread: DiskThread | None = None) -> None:
        self._audit_log = audit_log
        self._name = settings.destination
        self.losses = audit_log.losses
        self._why_crowded = f"audit log {self._name}: too many records wait for its disk"
        self.refuses = audit_log.refuses
        self.identify = audit_log.identify
        self._is_patient = audit_log.refuses or settings.sync
        self._thread = thread or DiskThread("audit")
        # The batches that are not written yet, in order.
        self._batches: deque[_Batch] = deque()
        self._queued_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_stuck = False
        # How many records found no room since the last ones that did, which come before them in the log.
        self._crowded_out = 0

    @classmethod
    async def open(cls, settings: AuditSettings, losses: Losses | None = None) -> Self:
        """Open a log. losses: see open_audit_log. Raises AuditError."""
        thread, opened = DiskThread("audit"), list[AuditLog]()
        try:
            await thread.run(lambda: opened.append(open_audit_log(settings, losses)))
        except BaseException:  # including cancellation, after which nobody waits for the log
            thread.end(lambda: _close_all(opened))
            raise
        return cls(opened[0], settings, thread)

    @property
    def queued(self) -> int:
        """How many records wait to be written."""
        return sum(batch.count for batch in self._batches)

    @property
    def lost_count(self) -> int:
        """How many records of the log have been lost so far."""
        return self.losses.ever

    @property
    def trouble(self) -> str | None:
        """How many records of the log are lost that no record reports yet, and why; None if there are none."""
        if count := self._crowded_out + self.losses.untold:
            return f"{count} {'record' if count == 1 else 'records'} lost: {self.losses.why}"
        return None

    def write(self, records: Sequence[AuditRecord], on_written: Callable[[], object]) -> bool:
        """Write records. Return whether answers must wait for that; if so, `on_written` is called once they may go."""
        size_bytes = sum(map(_size_bytes, records))
        if not self._has_room(size_bytes):
            self._crowded_out += len(records)
            self.losses.add_early(len(records), self._why_crowded)
            self.losses.complain(self._why_crowded, "records are lost")
            return False
        waits = not self._is_stuck
        self._put(_Batch(_now_s(), len(records), size_bytes, on_written if waits else None))
        self._thread.put(partial(self._write, records, self._take_crowded_out()), self._note_written)
        return waits

    def announce(self, begun: AuditRecord, on_written: Callable[[str | None], object]) -> None:
        """Put on record that a command is about to run. Then `on_written` is passed None, or why the command must not run."""
        size_bytes = _size_bytes(begun)
        if not self._has_room(size_bytes):
            reason = f"{self._why_crowded}; the command was not run"
            asyncio.get_running_loop().call_soon(on_written, reason)
            return

        def tell(why_not: str | None) -> None:
            self._note_written(None)
            on_written(why_not)

        self._put(_Batch(_now_s(), 1, size_bytes, None))
        self._thread.put(partial(self._announce, begun, self._take_crowded_out()), tell)

    async def written(self) -> None:
        """Wait until everything is written that is queued now or was held back."""
        await self._thread.run(self._audit_log.flush)

    def hand_over_losses(self) -> Lost:
        """Return what another process, which goes on with the log, is to report from now on. See Losses.take_back."""
        self.losses.report_early(self._take_crowded_out())
        return self.losses.hand_over()

    def reopen(self) -> None:
        """Go on in a new file if this one was moved away. If that cannot be opened, log it and go on with the old file."""
        self._thread.put(self._reopen, lambda _: None)

    async def close(self) -> None:
        """Write what is queued, and close the log. What is not written within LAST_WRITE_S is lost, and the log says so.

        What was lost before stays in `losses`.
        """
        self._thread.put(partial(self._close, self._take_crowded_out()), lambda _: None)
        if not await self._thread.finish(LAST_WRITE_S):
            told = "audit log %s: its disk has been stuck for %g s at the end; records lost: %d"
            _log.error(told, self._name, LAST_WRITE_S, self.queued)
        if self._timer is not None:
            self._timer.cancel()

    # On the thread, the only one that touches the log.

    def _write(self, records: Sequence[AuditRecord], crowded_out: int) -> None:
        self.losses.report_early(crowded_out)
        self._audit_log.write_all(records)

    def _announce(self, begun: AuditRecord, crowded_out: int) -> str | None:
        self.losses.report_early(crowded_out)
        return self._audit_log.announce(begun)

    def _reopen(self) -> None:
        try:
            self._audit_log.reopen()
        except AuditError as exc:
            _log.error("%s; going on with the old file", exc)

    def _close(self, crowded_out: int) -> None:
        self.losses.report_early(crowded_out)
        try:
            self._audit_log.close()
        except OSError as exc:  # a file system may report a failed write only now
            _log.error("audit log %s: %s", self._name, exc.strerror or exc)

    # What waits to be written.

    def _has_room(self, size_bytes: int) -> bool:
        return not self._batches or self._queued_bytes + size_bytes <= _MOST_QUEUED_BYTES

    def _take_crowded_out(self) -> int:
        count, self._crowded_out = self._crowded_out, 0
        return count

    def _put(self, batch: _Batch) -> None:
        self._batches.append(batch)
        self._queued_bytes += batch.size_bytes
        if self._timer is None and not self._is_patient:
            self._timer = asyncio.get_running_loop().call_later(_PATIENCE_S, self._look)

    def _note_written(self, _: None) -> None:
        batch = self._batches.popleft()
        self._queued_bytes -= batch.size_bytes
        if self._is_stuck and not self._batches:
            self._is_stuck = False
            _log.info("audit log %s: it is up to date again", self._name)
        if batch.on_written is not None:
            batch.on_written()

    def _look(self) -> None:
        """Let answers go that have waited too long."""
        self._timer = None
        if not self._batches:
            return
        left_s = self._batches[0].since_s + _PATIENCE_S - _now_s()
        if left_s <= 0 and not self._is_stuck:
            self._is_stuck = True
            _log.error("audit log %s: its disk is stuck, so answers go out before their records are written", self._name)
            for batch in list(self._batches):
                on_written, batch.on_written = batch.on_written, None
                if on_written is not None:
                    on_written()
        self._timer = asyncio.get_running_loop().call_later(left_s if left_s > 0 else _PATIENCE_S, self._look)


def _close_all(audit_logs: Sequence[AuditLog]) -> None:
    for audit_log in audit_logs:
        audit_log.close()


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _size_bytes(record: AuditRecord) -> int:
    """Estimate how much memory a record takes while it waits: itself, its texts, and QEMU's decoded replies."""
    texts = len(record.command_line or "") + sum(sent.reply_bytes for sent in record.sent)
    match record.reply:
        case {"return": str(text)}:
            texts += len(text)
    return _RECORD_BYTES + texts

"""Faults at random moments: each row of the soak is a command and a fault, and each run of it a VM of its own.

Where another client sends a command, or QEMU is asked to end, the judge is QEMU itself: HMP's commands are atomic, so what is
seen must be what QEMU natively does when one of the two comes first, or the other. Where the proxy or QEMU dies while a tag is
replaced, the old or the new snapshot must be there.
"""

import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, Final

from shim.plans.jobs import JOB_PREFIX
from tests.integration.faults.disks import Disks, is_internal
from tests.integration.faults.rules import is_copied
from tests.integration.faults.stage import Firmware, Stage, hmp_bytes, staged
from tests.integration.faults.strikes import SENT_BY_ANOTHER, Strike, comes_true, reply_of, tells_of_t
from tests.integration.machines import run_state_of
from tests.integration.outcomes import images_of
from tests.support.raw_client import ConnectionLostError, DeadlineError, RawClient

__all__ = ["BAD", "ROWS", "Row", "Verdict", "prepare", "run"]

# Beyond the time that the command takes undisturbed, as a part of it.
_BEYOND: Final = 0.15
_MORE_TRIES: Final = 2
_ENDS_QEMU: Final = (Strike.QUIT, Strike.SIGTERM_QEMU)
_LINES: Final = {"savevm, new": "savevm u", "savevm, replacing": "savevm t", "loadvm": "loadvm t", "delvm": "delvm t"}


class Verdict(Enum):
    """What a run came to."""

    DONE = "done"
    BEFORE = "as before"
    # The fault came first, and the command after it.
    AFTER = "after it"
    COMPLETED = "completed"
    REPORTED = "reported"
    LOST = "LOST"
    WRONG = "WRONG"


BAD: Final = frozenset({Verdict.LOST, Verdict.WRONG})


@dataclass(frozen=True, slots=True)
class Row:
    """A command and a fault, on a VM with this firmware, through a proxy with these options."""

    command: str
    strike: Strike
    firmware: Firmware = Firmware.PLAIN
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        disks = "" if self.firmware is Firmware.PLAIN else ", raw varstore"
        return ": ".join((" ".join((self.command + disks, *self.options)), self.strike.value))

    @property
    def line(self) -> str:
        return _LINES[self.command]

    @property
    def is_serial(self) -> bool:
        """Tell whether QEMU itself is the judge: it could do the command, too."""
        return self.firmware is Firmware.PLAIN and self.strike is not Strike.SIGKILL_PROXY


_REPLACING: Final = "savevm, replacing"
_BY_ANOTHER: Final = (Strike.QUIT, Strike.SYSTEM_RESET, Strike.DEVICE_DEL, Strike.SIGTERM_QEMU, Strike.MODERN)
ROWS: Final = (
    *(Row(command, strike) for command in _LINES for strike in _BY_ANOTHER),
    Row(_REPLACING, Strike.SIGKILL_PROXY),
    Row(_REPLACING, Strike.SIGKILL_PROXY, Firmware.VARSTORE),
    Row(_REPLACING, Strike.SIGKILL_PROXY, Firmware.VARSTORE, ("--overwrite", "replace")),
    Row(_REPLACING, Strike.SIGTERM_QEMU, Firmware.VARSTORE),
    Row(_REPLACING, Strike.QUIT, Firmware.VARSTORE),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What can be seen of one run. answer: the text's last line; None if the connection ended before it."""

    answer: str | None
    run_state: str | None
    disks: Disks

    def fits(self, serial: "Seen") -> bool:
        """Tell whether it is what came of the two commands one after the other.

        An end of QEMU can take the answer along. What it takes while it ends, it answers with an error on 11.1 (no block device
        can store vmstate for snapshot, 106 of 200 natively).
        """
        is_same = self.answer == serial.answer
        if serial.run_state is None:
            is_same |= self.answer is None or (serial.answer is None and self.answer.startswith("Error: "))
        return is_same and self.disks == serial.disks and self.run_state == serial.run_state


@contextmanager
def _clients(row: Row, *, natively: bool) -> Iterator[tuple[Stage, RawClient, RawClient, RawClient]]:
    """Return the client of the command, another one, and one of the test's own."""
    with staged(row.firmware, row.options, starts_proxy=not natively, is_relayed=False) as stage:
        observer = stage.observer()
        client = stage.stack.enter_context(stage.vm.negotiated()) if natively else stage.client()
        yield stage, client, observer if natively else stage.client(), observer


def _strike(row: Row, stage: Stage, other: RawClient) -> None:
    match row.strike:
        case Strike.SIGTERM_QEMU:
            stage.signal(signal.SIGTERM)
        case Strike.SIGKILL_PROXY:
            stage.proxy.kill()
        case strike:
            with suppress(BrokenPipeError, ConnectionResetError):
                other.send(SENT_BY_ANOTHER[strike])


def _settle(row: Row, stage: Stage, other: RawClient) -> None:
    """Wait until the fault is over."""
    if row.strike in _ENDS_QEMU:
        stage.vm.wait_gone()
    else:
        reply_of(other)


def _see(row: Row, stage: Stage, answer: str | None, observer: RawClient) -> Seen:
    return Seen(answer, None if row.strike in _ENDS_QEMU else run_state_of(observer), stage.end())


@cache
def _serially(row: Row) -> tuple[Seen, Seen]:
    """Ask QEMU itself what comes of the command and then the fault, and of the fault and then the command."""
    return _native(row, command_is_first=True), _native(row, command_is_first=False)


def _native(row: Row, *, command_is_first: bool) -> Seen:
    """Ask another QEMU where one hangs: on a busy machine 7.2 now and then does, in a savevm after a device_del."""
    for _ in range(_MORE_TRIES):
        with suppress(DeadlineError):
            return _one_by_one(row, command_is_first=command_is_first)
    return _one_by_one(row, command_is_first=command_is_first)


def _one_by_one(row: Row, *, command_is_first: bool) -> Seen:
    with _clients(row, natively=True) as (stage, client, other, observer):
        answer = _ask(client, row.line) if command_is_first else None
        _strike(row, stage, other)
        _settle(row, stage, other)
        return _see(row, stage, answer if command_is_first else _ask(client, row.line), observer)


def _ask(client: RawClient, line: str) -> str | None:
    with suppress(BrokenPipeError, ConnectionResetError):
        client.send(hmp_bytes(line))
        return _text_of(reply_of(client))
    return None


def _text_of(reply: dict[str, Any] | None) -> str | None:
    """Return the last line of HMP's text: what QEMU itself prints beside it goes elsewhere (docs/transparency.md)."""
    return None if reply is None else (str(reply.get("return")).splitlines() or [""])[-1]


@cache
def span_s(row: Row) -> float:
    """Measure how long the command takes undisturbed, and add a little."""
    with _clients(row, natively=False) as (_, client, _, _):
        began = time.monotonic()
        client.send(hmp_bytes(row.line))
        client.read_until_reply()
        return (time.monotonic() - began) * (1 + _BEYOND)


def prepare(row: Row) -> None:
    """Measure, and ask QEMU, what all runs of the row need."""
    span_s(row)
    if row.is_serial:
        _serially(row)


def _wait(delay_s: float) -> None:
    """Let a moment of chance come; that is not a wait for something."""
    moment = time.monotonic() + delay_s
    while time.monotonic() < moment:
        time.sleep(0)


def run(row: Row, seed: str, *, natively: bool = False) -> tuple[Verdict, str]:
    """Run a row once, with the fault at a moment that the seed chooses. Give what came of it, and what was seen."""
    delay_s = random.Random(seed).uniform(0, span_s(row))
    with _clients(row, natively=natively) as (stage, client, other, observer):
        client.send(hmp_bytes(row.line))
        _wait(delay_s)
        _strike(row, stage, other)
        if row.strike is Strike.SIGKILL_PROXY:
            return _after_kill(stage, client, observer)
        answer = _text_of(reply_of(client))
        _settle(row, stage, other)
        seen = _see(row, stage, answer, observer)
    what = f"after {delay_s * 1000:.1f} ms: {seen}"
    if not row.is_serial:
        return (Verdict.DONE if is_copied(seen.disks) else Verdict.LOST), what
    done, before = _serially(row)
    if seen.fits(done):
        return Verdict.DONE, what
    if seen.fits(before):
        return (Verdict.BEFORE if before.run_state is None else Verdict.AFTER), what
    return (Verdict.WRONG if is_copied(seen.disks) or row.command != _REPLACING else Verdict.LOST), what


def _after_kill(stage: Stage, client: RawClient, observer: RawClient) -> tuple[Verdict, str]:
    """See what the dead proxy left, and what the next one does about it."""
    with suppress(ConnectionLostError):
        client.read_until_reply()
    # All that QEMU had read of the dead one's commands is done before this is answered.
    observer.returned("query-status")
    left = images_of(observer)
    known = len(stage.proxy.records)
    was_lost = not any(tag == "t" for tag, _ in left["d0.qcow2"])
    stage.start_proxy()
    is_tidy = comes_true(lambda: _is_tidy(observer))
    is_told = was_lost and comes_true(lambda: tells_of_t(stage.proxy.records[known:]))
    told = [record["reason"] for record in stage.proxy.records[known:]]
    disks = stage.end()
    what = f"left {left}, then {disks}, told {told}"
    if not is_tidy:
        return Verdict.WRONG, f"not tidy: {what}"
    if is_copied(disks):
        return (Verdict.COMPLETED if was_lost else Verdict.DONE), what
    return (Verdict.REPORTED if is_told else Verdict.LOST), what


def _is_tidy(observer: RawClient) -> bool:
    own = [job for job in observer.returned("query-jobs") if job["id"].startswith(JOB_PREFIX)]
    tags = {tag for kept in images_of(observer).values() for tag, _ in kept}
    return not own and not any(map(is_internal, tags))

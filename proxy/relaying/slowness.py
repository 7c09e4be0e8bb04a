"""Log snapshot commands that take long: which command it is, whose, and when and how it ended.

All clients of the VM wait meanwhile, as they do natively, and its operator will be asked why.
"""

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from proxy.routing.plan_maker import Work
from shim.decisions.decision import Result
from shim.qmp import ReturnReply

if TYPE_CHECKING:  # a start is quicker without it
    from proxy.control.status import RunningCommand

__all__ = ["SlowCommands"]

_log = logging.getLogger(__name__)

_LONG_S: Final = 2.0
_NS_PER_S: Final = 1e9


class SlowCommands:
    """Call `watch` whenever another command holds the VM, or none does any more."""

    def __init__(self) -> None:
        self.watched: Work | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_told = False

    @property
    def running(self) -> "RunningCommand | None":
        """The client's command that holds the VM; None if none does."""
        work = self.watched
        if work is None or work.session is None:
            return None
        from proxy.control.status import RunningCommand  # here, as above

        return RunningCommand(_what(work), str(work.run.trace.client), _took_s(work))

    def watch(self, work: Work | None) -> None:
        """Log this command if it takes long, and the end of the previous one if that was logged."""
        if self._timer is not None:
            self._timer.cancel()
        if self._is_told and self.watched is not None:
            self._tell_end(self.watched)
        self.watched, self._timer, self._is_told = work, None, False
        if work is not None and work.session is not None:
            self._timer = asyncio.get_running_loop().call_later(_LONG_S, self._tell, work)

    def _tell(self, work: Work) -> None:
        self._is_told = True
        _log.info("'%s' takes long, and all clients of the VM wait: %s", _what(work), work.run.trace.client)

    def _tell_end(self, work: Work) -> None:
        _log.info("'%s' ended after %.1f s: %s", _what(work), _took_s(work), _outcome(work))


def _what(work: Work) -> str:
    trace = work.run.trace
    return str(trace.execute) if trace.command_line is None else trace.command_line


def _took_s(work: Work) -> float:
    return (time.monotonic_ns() - work.run.trace.started_ns) / _NS_PER_S


def _outcome(work: Work) -> str:
    """Say how a command ended, if the answer is the proxy's own; what QEMU replied is not looked into here."""
    outcome = work.run.outcome
    if not isinstance(outcome, Result) or outcome.reply is None:
        return "its outcome is not known"
    reply = outcome.reply
    text = str(reply.value) if isinstance(reply, ReturnReply) else reply.desc
    return text.strip() or "done"

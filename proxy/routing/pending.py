"""Whose a message of QEMU's is. What a reply is owed to, beside a forwarded command's session, stands in the router's FIFO."""

from dataclasses import dataclass
from enum import Enum, auto

from proxy.routing.messages import MonitorFormat, parse
from proxy.routing.session import Session
from shim.audit import Action, Rehearsed
from shim.plan_run import Trace

__all__ = ["DescriptorReply", "JobsReply", "LocalLine", "Passed", "Receiver", "without_own_jobs"]


@dataclass(frozen=True, slots=True)
class LocalLine:
    """No reply of QEMU's, but one that the proxy gives itself, due when all earlier ones have gone out."""

    session: Session
    line: bytes


@dataclass(frozen=True, slots=True)
class JobsReply:
    """The reply to a client's `query-jobs`."""

    session: Session


@dataclass(frozen=True, slots=True)
class Passed:
    """The reply to a client's command that QEMU runs itself and that is put on record.

    rehearsed: what rewriting would have done.
    """

    session: Session
    trace: Trace
    reason: str
    rehearsed: Rehearsed | None = None
    action: Action = Action.PASSED


@dataclass(frozen=True, slots=True)
class DescriptorReply:
    """The reply to a client's command that takes descriptors."""

    session: Session


class Receiver(Enum):
    """Who gets a message that is not for one session alone."""

    EVERYBODY = auto()
    NOBODY = auto()
    PROXY = auto()


def without_own_jobs(line: bytes, monitor_format: MonitorFormat, own_prefix: str) -> bytes:
    """Take the shim's jobs out of a reply to `query-jobs`. A reply without any stays as QEMU wrote it."""
    if own_prefix.encode("ascii") not in line:
        return line
    message = parse(line)
    if "return" not in message:
        return line
    message["return"] = [job for job in message["return"] if not job["id"].startswith(own_prefix)]
    return monitor_format.spell(message)

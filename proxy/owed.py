"""Whose the next reply of QEMU is, where it is more than a forwarded command's. The router keeps these in a FIFO."""

from dataclasses import dataclass

from proxy.rewrite import Trace
from proxy.session import Session

__all__ = ["CarrierReply", "JobsReply", "LocalLine", "Passed"]


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
    """The reply to a client's `human-monitor-command` that QEMU runs itself."""

    session: Session
    trace: Trace
    reason: str


@dataclass(frozen=True, slots=True)
class CarrierReply:
    """The reply to a client's command that carried descriptors. passed: set for a `human-monitor-command`."""

    session: Session
    passed: Passed | None

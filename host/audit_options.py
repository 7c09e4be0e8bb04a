"""The options of the audit log."""

import argparse

from host.config import AUDIT_KEEP, AuditFailure, AuditSettings, audit_settings, confidential, parse_audit_destination
from host.options import choice, whole_number
from shim.confidential import Confidential

__all__ = ["add_audit", "audit_of"]


def add_audit(log: argparse._ArgumentGroup) -> None:
    """Add the options that `audit_of` reads."""
    log.add_argument(
        "--audit",
        type=_destination,
        metavar="FILE",
        help="append a JSON record of every human-monitor-command to FILE; - is the standard output, syslog: the syslog daemon "
        "at /dev/log, syslog:PATH one at another socket",
    )
    log.add_argument("--audit-sync", action="store_true", help="have each record on the disk before its command is answered")
    log.add_argument(
        "--audit-failure",
        type=choice(AuditFailure),
        choices=list(AuditFailure),
        default=AuditFailure.CONTINUE,
        help="what becomes of a command whose record cannot be written: refuse: it is not run; continue: it is run, and the "
        "next record tells how many were lost (default %(default)s)",
    )
    log.add_argument(
        "--audit-redact",
        action="append",
        default=[],
        type=_confidential,
        metavar="KIND",
        help=f"mask what is confidential: {', '.join(Confidential)}, or all (repeatable, or separated by commas)",
    )
    log.add_argument(
        "--audit-key",
        metavar="KEYFILE",
        help="what the masks are made with: a file that only its owner can read; without one the masks of each process differ",
    )
    log.add_argument(
        "--audit-rotate-mib", type=whole_number, metavar="MIB", help="put FILE aside as FILE.1 before it grows beyond this"
    )
    log.add_argument("--audit-rotate-hours", type=whole_number, metavar="HOURS", help="the same when its first record is older")
    log.add_argument(
        "--audit-keep",
        type=whole_number,
        default=AUDIT_KEEP,
        metavar="COUNT",
        help="how many files put aside are kept, FILE.1 to FILE.COUNT (default %(default)s)",
    )


def audit_of(given: argparse.Namespace) -> AuditSettings | None:
    """Give what the options of `add_audit` describe; None if there is no log."""
    mib, hours = given.audit_rotate_mib, given.audit_rotate_hours
    return audit_settings(
        destination=given.audit or "",
        sync=given.audit_sync,
        failure=given.audit_failure,
        redact=frozenset().union(*given.audit_redact),
        key=given.audit_key or "",
        rotate_bytes=None if mib is None else mib * 1024 * 1024,
        rotate_age_s=None if hours is None else hours * 3600,
        keep=given.audit_keep,
    )


def _destination(text: str) -> str:
    try:
        return parse_audit_destination(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _confidential(text: str) -> frozenset[Confidential]:
    try:
        return confidential(text.split(","))
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"'{text}' is not of {', '.join(Confidential)}, all") from exc

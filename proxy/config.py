"""What `hmp-proxy` is told on its command line."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from proxy.addresses import (
    Address,
    StdioAddress,
    UnixAddress,
    parse_listen_address,
    parse_upstream_address,
)
from proxy.errors import AddressError
from proxy.takeover import SUFFIX
from shim.policy import Policy, PolicyKind

__all__ = ["Config", "parse_command_line"]

# A client that lets this much wait is stuck: it is 80 replies to query-qmp-schema, or 160,000 events.
_CLIENT_BUFFER_MIB = 16

_DESCRIPTION = """\
Stand between legacy tools and QEMU's QMP socket. savevm, loadvm, delvm and "info snapshots", sent by
human-monitor-command, are done by QEMU's snapshot jobs with the disks that the policy chooses, and answered
as HMP would have answered. Everything else goes through byte for byte."""

_EPILOG = """\
examples:
  put the proxy in front of a VM, and point the tools at /run/vm1/legacy.sock:
    qemu-system-x86_64 ... -qmp unix:/run/vm1/qmp.sock,server=on,wait=off
    hmp-proxy --upstream unix:/run/vm1/qmp.sock --listen unix:/run/vm1/legacy.sock --audit /var/log/hmp.jsonl
  or slip it under the tools, which keep their socket; QEMU's comes back when the proxy ends:
    hmp-proxy --take-over /run/vm1/qmp.sock --audit /var/log/hmp.jsonl
  try it by hand:
    socat READLINE UNIX-CONNECT:/run/vm1/legacy.sock
    {"execute": "qmp_capabilities"}
    {"execute": "human-monitor-command", "arguments": {"command-line": "savevm t1"}}

addresses:
  unix:PATH             a unix socket
  tcp:HOST:PORT         a TCP socket; [::1] for IPv6
  fd:N                  an inherited socket, listening or connected
  accept:unix:PATH      for --upstream: QEMU connects to us (-qmp unix:PATH,server=off,reconnect=1)
  stdio                 for --listen: the one client is at standard input and output; its end is the proxy's
  systemd               for --listen: the sockets of a systemd .socket unit

exit status:
  0  stopped by SIGINT or SIGTERM        4  what answers there is no QMP server, or serves another client
  2  wrong use                           5  the listening socket cannot be made, or is in use
  3  QEMU's socket cannot be reached     6  the audit log cannot be written

When QEMU goes away the clients are disconnected, and the proxy waits for it to come back on the same socket."""


@dataclass(frozen=True, slots=True)
class Config:
    """One VM.

    take_over: `upstream` is this socket, and clients come in by its path too.
    client_buffer_bytes: a client that leaves more unread is cut off. audit: None writes no log.
    """

    upstream: Address
    listen: tuple[Address, ...]
    take_over: UnixAddress | None
    name: str | None
    policy: Policy
    audit: str | None
    audit_sync: bool
    client_buffer_bytes: int
    verbose: bool


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say it in one line, as every error here is said."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _argument(parse: Callable[[str], Address]) -> Callable[[str], Address]:
    def parse_argument(text: str) -> Address:
        try:
            return parse(text)
        except AddressError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    return parse_argument


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="hmp-proxy", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    wire = parser.add_argument_group("sockets")
    wire.add_argument("--upstream", type=_argument(parse_upstream_address), metavar="ADDRESS", help="QEMU's QMP socket")
    wire.add_argument(
        "--listen",
        action="append",
        default=[],
        type=_argument(parse_listen_address),
        metavar="ADDRESS",
        help="a socket for the legacy tools (repeatable)",
    )
    wire.add_argument("--take-over", metavar="PATH", help="move QEMU's own socket aside and listen on its path")
    wire.add_argument(
        "--client-buffer",
        type=int,
        default=_CLIENT_BUFFER_MIB,
        metavar="MIB",
        help="cut off a client that leaves more than this unread (default %(default)s)",
    )
    choice = parser.add_argument_group("which disks a snapshot takes")
    choice.add_argument(
        "--policy",
        type=PolicyKind,
        choices=list(PolicyKind),
        default=PolicyKind.AUTO,
        help="auto: a UEFI varstore is left out if it cannot hold a snapshot, and never gets the VM state; "
        "hmp: exactly the disks that QEMU's own HMP commands take (default %(default)s)",
    )
    choice.add_argument("--vmstate", metavar="NODE", help="the node or device that gets the VM state")
    choice.add_argument(
        "--exclude", action="append", default=[], metavar="NODE", help="a node or device that no snapshot takes (repeatable)"
    )
    choice.add_argument(
        "--no-guard", action="store_true", help="do not refuse commands that are known to crash the connected QEMU"
    )
    log = parser.add_argument_group("what is logged")
    log.add_argument("--name", help="the VM's name in the audit log (default: QEMU's -name, else its socket)")
    log.add_argument("--audit", metavar="FILE", help="append a JSON record of every human-monitor-command to FILE")
    log.add_argument("--audit-sync", action="store_true", help="have each record on the disk before its command is answered")
    log.add_argument("--verbose", action="store_true", help="log connections too, not only what needs attention")
    return parser


def parse_command_line(arguments: list[str]) -> Config:
    """Read the command line. Exits with status 2 and one line on standard error if it is wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.policy is PolicyKind.HMP and (given.vmstate or given.exclude):
        parser.error("--policy hmp leaves the choice to HMP's rule; drop --vmstate and --exclude, or use --policy auto")
    upstream, take_over = _upstream(parser, given)
    if given.client_buffer < 1:
        parser.error("--client-buffer takes a whole number of MiB from 1")
    if given.audit_sync and not given.audit:
        parser.error("--audit-sync goes with --audit FILE")
    return Config(
        upstream=upstream,
        listen=tuple(given.listen),
        take_over=take_over,
        name=given.name,
        policy=Policy(given.policy, given.vmstate, frozenset(given.exclude), guard=not given.no_guard),
        audit=given.audit,
        audit_sync=given.audit_sync,
        client_buffer_bytes=given.client_buffer * 1024 * 1024,
        verbose=given.verbose,
    )


def _upstream(parser: argparse.ArgumentParser, given: argparse.Namespace) -> tuple[Address, UnixAddress | None]:
    """Join --upstream, --listen and --take-over, of which not all combinations have a meaning."""
    if given.take_over is not None:
        if given.upstream is not None:
            parser.error("--take-over PATH says where QEMU is; drop --upstream")
        path = given.take_over.removeprefix("unix:")
        try:
            parse_listen_address(f"unix:{path}{SUFFIX}")
        except AddressError as exc:
            parser.error(str(exc))
        return UnixAddress(path), UnixAddress(path)
    if given.upstream is None or not given.listen:
        parser.error("say where QEMU is and where the tools come in: --upstream and --listen, or --take-over")
    if given.upstream in given.listen:
        parser.error("--upstream and --listen are the same socket; the proxy needs one of its own")
    if len(given.listen) > 1 and StdioAddress() in given.listen:
        parser.error("--listen stdio stands alone: the proxy ends with that client")
    return given.upstream, None

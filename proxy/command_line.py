"""The command line of `hmp-proxy`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from host.addresses import Address, UnixAddress, parse_listen_address, parse_taken_path, parse_upstream_address, plain
from host.audit_options import add_audit, audit_of
from host.config import CLIENT_BUFFER_MIB, CONNECT_TIMEOUT_S, STOP_TIMEOUT_S, VMConfig, contradiction
from host.options import (
    PATTERNS,
    Parser,
    add_policy,
    argument,
    choice,
    choose_vm,
    policy_of,
    refuse_mixture,
    seconds,
    whole_number,
)
from shim.policy import ABANDON_AFTER_S, ABANDON_LOAD_AFTER_S, Mode

__all__ = ["Invocation", "PlanInvocation", "ServeInvocation", "parse_command_line"]

_DESCRIPTION = """\
Stand between legacy tools and QEMU's QMP socket. savevm, loadvm, delvm and "info snapshots", sent by
human-monitor-command, are done by QEMU's snapshot jobs with the disks that the policy chooses, and answered
as HMP would have answered. Everything else goes through byte for byte."""

_EXAMPLES = """\
examples:
  put the proxy in front of a VM, and point the tools at /run/vm1/legacy.sock:
    qemu-system-x86_64 ... -qmp unix:/run/vm1/qmp.sock,server=on,wait=off
    hmp-proxy --upstream unix:/run/vm1/qmp.sock --listen unix:/run/vm1/legacy.sock --audit /var/log/hmp.jsonl
  or slip it under the tools, which keep their socket; QEMU's comes back when the proxy ends:
    hmp-proxy --take-over /run/vm1/qmp.sock --audit /var/log/hmp.jsonl
  see what a command would do, without doing it (the VM's socket must be free; the proxy's own will do):
    hmp-proxy plan --upstream unix:/run/vm1/legacy.sock savevm t1
  try it by hand:
    socat READLINE UNIX-CONNECT:/run/vm1/legacy.sock
    {"execute": "qmp_capabilities"}
    {"execute": "human-monitor-command", "arguments": {"command-line": "savevm t1"}}
"""

_ADDRESSES = """\
addresses:
  unix:PATH             a unix socket
  tcp:HOST:PORT         a TCP socket; [::1] for IPv6
  fd:N                  an inherited socket, listening or connected
  accept:unix:PATH      for --upstream: QEMU connects to us (-qmp unix:PATH,server=off,reconnect=1)
"""

_LISTEN_ADDRESSES = """\
  stdio                 for --listen: the one client is at standard input and output; its end is the proxy's
  systemd               for --listen: the sockets of a systemd .socket unit
  hold:ADDRESS          for --listen and --take-over: while QEMU is away clients wait there, where else nobody listens
"""

_EXIT_STATUS = """
exit status:
  0  stopped by SIGINT or SIGTERM        5  the listening socket cannot be made, or is in use
  2  wrong use, or wrong configuration   6  the audit log cannot be opened
  3  QEMU's socket cannot be reached     130  stopped at once by a second signal
  4  what answers there is no QMP server, or serves another client

When QEMU goes away the clients are disconnected, and the proxy waits for it to come back on the same socket; with
--end-with-vm it ends with status 0. Of several VMs in a file, one that cannot begin is tried again and again, and the
others go on.
SIGHUP reads the configuration file and opens the audit logs again."""

_PLAN_DESCRIPTION = """\
Show what the proxy would do with a command: all block nodes, which of them it would take and why, where the VM state
would go, the exact QMP commands, and the answer. Only queries are sent to QEMU; nothing is changed.
At a proxy's own socket the proxy makes the plan, with its policy in force; options or a file that give a policy are planned
with instead, and the plan says so."""

_PLAN_EXIT_STATUS = """
exit status:
  0  the plan was shown, whatever it says
  2  wrong use, or wrong configuration
  3  QEMU's socket cannot be reached
  4  what answers there is no QMP server, or serves another client
  5  the socket on which QEMU is accepted cannot be made"""


@dataclass(frozen=True, slots=True)
class ServeInvocation:
    """`hmp-proxy`. config_path: None if the VM was described by options."""

    vms: tuple[VMConfig, ...]
    config_path: str | None
    verbose: bool


@dataclass(frozen=True, slots=True)
class PlanInvocation:
    """`hmp-proxy plan`.

    given_by: what says which policy to plan with, in words; None leaves it to the proxy that may be there.
    """

    vm: VMConfig
    command_line: str
    as_json: bool
    given_by: str | None = None


Invocation: TypeAlias = ServeInvocation | PlanInvocation


def _add_source(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("the VM")
    group.add_argument(
        "--upstream", type=argument(parse_upstream_address), metavar="ADDRESS", help="QEMU's QMP socket (addresses: see below)"
    )
    group.add_argument("--config", metavar="FILE", help="take everything from a TOML file, for any number of VMs")
    return group


def _add_wire(parser: argparse.ArgumentParser) -> None:
    wire = _add_source(parser)
    wire.add_argument(
        "--listen",
        action="append",
        default=[],
        type=argument(parse_listen_address),
        metavar="ADDRESS",
        help="a socket for the legacy tools (repeatable)",
    )
    wire.add_argument(
        "--take-over",
        type=argument(parse_taken_path),
        metavar="PATH",
        help="move QEMU's own socket aside and listen on its path",
    )
    wire.add_argument("--wait", action="store_true", help="if QEMU is not there yet, wait for it")
    wire.add_argument(
        "--connect-timeout",
        type=whole_number,
        default=CONNECT_TIMEOUT_S,
        metavar="SECONDS",
        help="how long QEMU may take to greet once its socket is there (default %(default)s)",
    )
    wire.add_argument("--end-with-vm", action="store_true", help="end when QEMU has gone, instead of waiting for its return")
    wire.add_argument(
        "--client-buffer",
        type=int,
        default=CLIENT_BUFFER_MIB,
        metavar="MIB",
        help="cut off a client that leaves more than this unread (default %(default)s)",
    )
    wire.add_argument(
        "--stop-timeout",
        type=seconds,
        default=STOP_TIMEOUT_S,
        metavar="S",
        help="at SIGTERM, how many seconds to wait for what was begun (default %(default)g)",
    )


def _serve_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="hmp-proxy",
        description=_DESCRIPTION,
        epilog=f"{_EXAMPLES}\n{_ADDRESSES}{_LISTEN_ADDRESSES}{PATTERNS}{_EXIT_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_wire(parser)
    add_policy(parser).add_argument(
        "--strict", action="store_true", help="a pattern that fits nothing of the VM is an error, and not only a warning"
    )
    _add_abandoning(parser)
    mode = parser.add_argument_group("how much is done")
    mode.add_argument(
        "--mode",
        type=choice(Mode),
        choices=list(Mode),
        default=Mode.REWRITE,
        help="rewrite: as described above; observe: QEMU gets every command as it is, and the audit log says what rewriting "
        "would have done; enforce: rewrite, and refuse all other HMP commands (default %(default)s)",
    )
    mode.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="COMMAND",
        help='in mode enforce, an HMP command that passes, such as "info block" (repeatable)',
    )
    log = parser.add_argument_group("what is logged")
    log.add_argument("--name", help="the VM's name in the audit log (default: QEMU's -name, else its socket)")
    add_audit(log)
    log.add_argument("--verbose", action="store_true", help="log connections too, not only what needs attention")
    return parser


def _add_abandoning(parser: argparse.ArgumentParser) -> None:
    gone = parser.add_argument_group("the commands of clients that have hung up")
    gone.add_argument(
        "--abandon-after",
        type=seconds,
        default=ABANDON_AFTER_S,
        metavar="S",
        help="a savevm or delvm is not begun any more so many seconds after it came (default %(default)g)",
    )
    gone.add_argument(
        "--abandon-load-after",
        type=seconds,
        default=ABANDON_LOAD_AFTER_S,
        metavar="S",
        help="nor a loadvm, which throws the present away (default %(default)g)",
    )


def _plan_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="hmp-proxy plan",
        description=_PLAN_DESCRIPTION,
        epilog=f"{_ADDRESSES}{PATTERNS}{_PLAN_EXIT_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group = _add_source(parser)
    group.add_argument("--vm", metavar="NAME", help="which VM of the file, if it has several")
    add_policy(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="an HMP command, such as: savevm t1")
    return parser


def parse_command_line(arguments: Sequence[str]) -> Invocation:
    """Read the command line. Exits with status 2 and one line on standard error if it is wrong.

    Raises ConfigError for a wrong configuration file.
    """
    if arguments and arguments[0] == "plan":
        return _plan(_plan_parser(), arguments[1:])
    return _serve(_serve_parser(), arguments)


def _serve(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> ServeInvocation:
    given = parser.parse_args(arguments)
    if given.config is not None:
        refuse_mixture(parser, given, ("config", "verbose"))
        from host.config_file import load_config_file  # here, because without a file nothing of TOML is needed

        return ServeInvocation(load_config_file(given.config), given.config, given.verbose)
    if given.client_buffer < 1:
        parser.error("--client-buffer takes a whole number of MiB from 1")
    upstream, take_over = _upstream(parser, given)
    vm = VMConfig(
        upstream=upstream,
        listen=tuple(given.listen),
        take_over=take_over,
        name=given.name,
        policy=replace(
            policy_of(given, mode=given.mode, allow=given.allow),
            abandon_after_s=given.abandon_after,
            abandon_load_after_s=given.abandon_load_after,
        ),
        audit=audit_of(given),
        client_buffer_bytes=given.client_buffer * 1024 * 1024,
        wait=given.wait,
        stop_timeout_s=given.stop_timeout,
        connect_timeout_s=given.connect_timeout,
        ends_with_vm=given.end_with_vm,
        is_strict=given.strict,
    )
    _refuse_contradiction(parser, vm)
    return ServeInvocation((vm,), None, given.verbose)


def _plan(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> PlanInvocation:
    given = parser.parse_args(arguments)
    command_line = " ".join(given.command)
    if given.config is None:
        if given.upstream is None:
            parser.error("say where QEMU is: --upstream, or --config FILE")
        if given.vm is not None:
            parser.error("--vm goes with --config")
        vm = VMConfig(given.upstream, take_over=None, policy=policy_of(given))
        return PlanInvocation(vm, command_line, given.json, ", ".join(given.policy_options) or None)
    refuse_mixture(parser, given, ("config", "vm", "json", "command", "upstream"))
    chosen = choose_vm(parser, given.config, given.vm)
    vm = chosen if given.upstream is None else VMConfig(given.upstream, policy=chosen.policy)
    return PlanInvocation(vm, command_line, given.json, given.config)


def _refuse_contradiction(parser: argparse.ArgumentParser, vm: VMConfig) -> None:
    problem = contradiction(vm)
    if problem is not None:
        key, reason = problem
        parser.error(f"--{key.replace('_', '-')}: {reason}")


def _upstream(parser: argparse.ArgumentParser, given: argparse.Namespace) -> tuple[Address, UnixAddress | None]:
    if given.take_over is None:
        if given.upstream is None or not given.listen:
            parser.error("say where QEMU is and where the tools come in: --upstream and --listen, --take-over, or --config")
        return given.upstream, None
    if given.upstream is not None:
        parser.error("--take-over PATH says where QEMU is; drop --upstream")
    return plain(given.take_over), given.take_over

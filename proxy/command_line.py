"""The command line of `hmp-proxy`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from host.access_contradictions import contradiction_of_access
from host.addresses import plain
from host.config import VMConfig
from host.contradictions import contradiction
from host.errors import ConfigError
from host.listener import Terms, settle
from host.listener_settings import LISTENER_SETTINGS
from host.options import (
    PATTERNS,
    RULES,
    HelpFormatter,
    Parser,
    add_section,
    add_settings,
    add_version,
    audit_of,
    choose_vm,
    members_of,
    policy_of,
    refuse_mixture,
)
from host.settings import Owner, Program, Section, option_of, settings_of, with_options

__all__ = ["Invocation", "PlanInvocation", "ServeInvocation", "parse_command_line"]

_DESCRIPTION = """\
Stand between legacy tools and QEMU's QMP socket. savevm, loadvm, delvm and "info snapshots", sent by
human-monitor-command, are done by QEMU's snapshot jobs on the disks that the policy chooses, and answered
as HMP would have answered. Everything else goes through byte for byte."""

_EXAMPLES = """\
examples:
  put the proxy in front of a VM, and point the tools at /run/vm1/legacy.sock:
    qemu-system-x86_64 ... -qmp unix:/run/vm1/qmp.sock,server=on,wait=off
    hmp-proxy --upstream unix:/run/vm1/qmp.sock --listen unix:/run/vm1/legacy.sock --audit /var/log/hmp.jsonl
  or put it under tools that keep their path; QEMU's socket comes back when the proxy ends:
    hmp-proxy --take-over /run/vm1/qmp.sock --audit /var/log/hmp.jsonl
  or, from QEMU 11.1 on, put it beside a tool that keeps QEMU's socket for itself:
    hmp-proxy --attach /run/vm1/qmp.sock --listen unix:/run/vm1/legacy.sock --audit /var/log/hmp.jsonl
  see what a command would do, without doing it (at the proxy's socket, or at QEMU's if no client is connected there):
    hmp-proxy plan --upstream unix:/run/vm1/legacy.sock savevm t1
  ask a proxy that was started with --control PATH how its VMs are:
    hmp-proxy status --control PATH
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
  accept:unix:PATH      for --upstream: QEMU connects to the proxy (-qmp unix:PATH,server=off,reconnect=1)
"""

_LISTEN_ADDRESSES = """\
  stdio                 for --listen: one client, at standard input and output; the proxy ends when it leaves
  systemd               for --listen: the sockets of a systemd .socket unit
  hold:ADDRESS          for --listen and --take-over: clients can connect while QEMU is away, and wait
"""

_LISTENER_KEYS = [row.word_of_listener for row in LISTENER_SETTINGS]
_LISTENER_OPTIONS = f"""
settings of one listener:
  ADDRESS,KEY=VALUE,... for --listen, --hmp-listen and --take-over, where KEY is
                        {", ".join(_LISTENER_KEYS[:6])},
                        {", ".join(_LISTENER_KEYS[6:11])},
                        {", ".join(_LISTENER_KEYS[11:])};
                        a path that is taken over keeps QEMU's mode, owner and group, and HMP's prompt has
                        neither errors nor pretty
"""

_EXIT_STATUS = """
exit status:
  0  stopped by SIGINT or SIGTERM             5  the listening socket cannot be created, or is in use
  2  wrong usage, or a wrong configuration    6  the audit log cannot be opened
  3  QEMU's socket cannot be reached          130  stopped at once by a second signal
  4  the other end is not a QMP server, serves another client, or is too old for --attach

When QEMU goes away, the clients are disconnected, and the proxy waits for QEMU to come back on the same socket; with
--end-with-vm it ends with status 0. If a VM of a file cannot be served, the proxy tries again and again, and the others
go on.
On SIGHUP the proxy reads the configuration file again, serves the VMs that it names now, and reopens the audit logs."""

_PLAN_DESCRIPTION = """\
Show what the proxy would do with a command: all block nodes, which of them it would take and why, where the VM state
would go, the exact QMP commands, and the answer. Only queries are sent to QEMU; nothing is changed.
At a proxy's socket the proxy itself makes the plan, by the policy that is in force there. If options or a file give a
policy, the plan is made by that one instead, and says so."""

_PLAN_EXIT_STATUS = """
exit status:
  0  the plan was shown, whatever it says
  2  wrong usage, or a wrong configuration
  3  QEMU's socket cannot be reached
  4  the other end is not a QMP server, or it is serving another client
  5  the socket to which QEMU is to connect (accept:) cannot be created"""


_STATUS_DESCRIPTION = """\
Ask a running proxy how its VMs are: which are served, by which policy, who is connected, and which snapshot command runs.
The proxy was started with --control PATH."""

_DEFAULT_CONTROL = "/run/hmp-proxy/control.sock for root, else hmp-proxy/control.sock in XDG_RUNTIME_DIR"
_STATUS_EXIT_STATUS = """
exit status:
  0  the status was shown, whatever it says
  2  wrong usage, or no such VM
  3  no proxy answers there"""


# What a command line asks for is a value, and nothing has been opened or connected when it is made: so every mistake in it
# costs exit status 2 and nothing else.
@dataclass(frozen=True, slots=True)
class ServeInvocation:
    """`hmp-proxy`. config_path: None if the VM was described by options. logs_json: a line of the log is a JSON object.
    control_path: of the control socket.
    """

    vms: tuple[VMConfig, ...]
    config_path: str | None
    verbose: bool
    logs_json: bool = False
    control_path: str | None = None


@dataclass(frozen=True, slots=True)
class CheckInvocation:
    """`hmp-proxy --check`. vms: those that could be read. mistakes: in the file. config_path: None for options."""

    vms: tuple[VMConfig, ...]
    mistakes: tuple[ConfigError, ...]
    config_path: str | None


@dataclass(frozen=True, slots=True)
class StatusInvocation:
    """`hmp-proxy status`. control_path: None for the default one. vm: None for all."""

    control_path: str | None
    vm: str | None
    as_json: bool


@dataclass(frozen=True, slots=True)
class PlanInvocation:
    """`hmp-proxy plan`.

    given_by: what says which policy to plan with, in words; None leaves it to the proxy that may be there.
    """

    vm: VMConfig
    command_line: str
    as_json: bool
    given_by: str | None = None


Invocation: TypeAlias = ServeInvocation | CheckInvocation | StatusInvocation | PlanInvocation


def _parser(prog: str, description: str, epilog: str) -> Parser:
    return Parser(prog=prog, description=description, epilog=epilog, formatter_class=HelpFormatter)


def _add_vm(parser: Parser, program: Program) -> argparse._ArgumentGroup:
    """Add where QEMU is, by an option or in a file, before whatever else there is about the VM."""
    group = parser.add_argument_group(Section.VM.value)
    upstream, *others = settings_of(program, Section.VM)
    add_settings(group, program, [upstream])
    group.add_argument("--config", metavar="FILE", help="read all settings from a TOML file, for any number of VMs")
    add_settings(group, program, others)
    return group


def _serve_parser() -> Parser:
    epilog = f"{_EXAMPLES}\n{_ADDRESSES}{_LISTEN_ADDRESSES}{_LISTENER_OPTIONS}{PATTERNS}{RULES}{_EXIT_STATUS}"
    parser = _parser("hmp-proxy", _DESCRIPTION, epilog)
    add_version(parser)
    vm = _add_vm(parser, Program.PROXY)
    vm.add_argument(
        "--check",
        action="store_true",
        help="tell all mistakes in the configuration, and end: with status 0 if there are none, else 2",
    )
    vm.add_argument("--control", metavar="PATH", help="the socket at which hmp-proxy status asks (default: none)")
    sections = (Section.ACCESS, Section.RULES, Section.POLICY, Section.SNAPSHOTS, Section.GONE, Section.MODE, Section.LIMITS)
    for section in sections:
        add_section(parser, Program.PROXY, section)
    log = add_section(parser, Program.PROXY, Section.LOG)
    log.add_argument("--verbose", action="store_true", help="also log connections, not only what needs attention")
    log.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="how the log is written (default %(default)s)"
    )
    return parser


def _status_parser() -> Parser:
    parser = _parser("hmp-proxy status", _STATUS_DESCRIPTION, _STATUS_EXIT_STATUS)
    parser.add_argument("--control", metavar="PATH", help=f"the proxy's control socket (default: {_DEFAULT_CONTROL})")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("vm", nargs="?", metavar="VM", help="show only this VM, and its clients")
    return parser


def _plan_parser() -> Parser:
    parser = _parser("hmp-proxy plan", _PLAN_DESCRIPTION, f"{_ADDRESSES}{PATTERNS}{_PLAN_EXIT_STATUS}")
    vm = _add_vm(parser, Program.PLAN)
    vm.add_argument("--vm", metavar="NAME", help="which VM of the file, if it has several")
    add_section(parser, Program.PLAN, Section.POLICY)
    add_section(parser, Program.PLAN, Section.SNAPSHOTS)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="an HMP command, such as: savevm t1")
    return parser


def parse_command_line(arguments: Sequence[str]) -> Invocation:
    """Read the command line. Exits with status 2 and one line on standard error if it is wrong.

    Raises ConfigError for a wrong configuration file.
    """
    if arguments and arguments[0] == "plan":
        return _plan(_plan_parser(), arguments[1:])
    if arguments and arguments[0] == "status":
        given = _status_parser().parse_args(arguments[1:])
        return StatusInvocation(given.control, given.vm, given.json)
    return _serve(_serve_parser(), arguments)


def _serve(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> ServeInvocation | CheckInvocation:
    given = parser.parse_args(arguments)
    if given.config is not None:
        refuse_mixture(parser, given, ())
        from host.config_file import check_config_file, load_config_file  # here, because without a file there is no TOML

        if given.check:
            vms, mistakes = check_config_file(given.config)
            return CheckInvocation(vms, tuple(mistakes), given.config)
        return _serve_invocation(load_config_file(given.config), given)
    members = settle(members_of(parser, given, Owner.VM), Terms(**members_of(parser, given, Owner.LISTENER)))
    _complete_upstream(parser, members)
    vm = VMConfig(**members, policy=policy_of(parser, given), audit=audit_of(parser, given))
    _refuse(parser, contradiction(vm))
    if given.check:
        return CheckInvocation((vm,), (), None)
    return _serve_invocation((vm,), given)


def _serve_invocation(vms: tuple[VMConfig, ...], given: argparse.Namespace) -> ServeInvocation:
    return ServeInvocation(vms, given.config, given.verbose, given.log_format == "json", given.control)


def _refuse(parser: argparse.ArgumentParser, problem: tuple[str, str] | None) -> None:
    if problem is not None:
        key, reason = problem
        parser.error(f"{option_of(key)}: {with_options(reason)}")


def _plan(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> PlanInvocation:
    given = parser.parse_args(arguments)
    command_line = " ".join(given.command)
    if given.config is None:
        if given.upstream is None:
            parser.error("say where QEMU is: --upstream, or --config FILE")
        if given.vm is not None:
            parser.error("--vm needs --config FILE")
        vm = VMConfig(**members_of(parser, given, Owner.VM), policy=policy_of(parser, given))
        _refuse(parser, contradiction_of_access(vm))
        return PlanInvocation(vm, command_line, given.json, ", ".join(given.policy_options) or None)
    refuse_mixture(parser, given, ("upstream",))
    chosen = choose_vm(parser, given.config, given.vm)
    vm = chosen if given.upstream is None else VMConfig(given.upstream, policy=chosen.policy)
    return PlanInvocation(vm, command_line, given.json, given.config)


def _complete_upstream(parser: argparse.ArgumentParser, members: dict[str, Any]) -> None:
    """See that it is said where QEMU is and where clients come in: a socket that is taken over is both."""
    for key in ("take_over", "attach"):
        if key in members:
            if "upstream" in members:
                parser.error(f"{option_of(key)} PATH says where QEMU is; drop --upstream")
            members["upstream"] = plain(members[key])
            break
    if "upstream" not in members or not {"listen", "hmp_listen", "take_over"} & members.keys():
        parser.error(
            "say where QEMU is and where the tools connect: --upstream or --attach and --listen, --take-over, or --config"
        )

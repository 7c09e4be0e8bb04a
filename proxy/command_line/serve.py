"""The command line of `hmp-proxy` itself, which serves, or with `--check` only reads its configuration."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from host.configuration.contradictions import contradictions
from host.configuration.options import (
    PATTERNS,
    RULES,
    Parser,
    add_section,
    add_version,
    audit_of,
    members_of,
    policy_of,
    refuse_mixture,
)
from host.net.addresses import Address, plain
from host.settings.config import VMConfig
from host.settings.listener import Said, Terms, settle
from host.settings.listener_settings import LISTENER_SETTINGS
from host.settings.settings import Owner, Program, Section, option_of
from proxy.command_line.invocations import CheckInvocation, ServeInvocation
from proxy.command_line.parsers import ADDRESSES, add_vm, make_parser, refuse
from proxy.command_line.places import DEFAULT_FOLDER, default_path, read_metrics_address, read_socket

if TYPE_CHECKING:  # most processes are not asked
    from proxy.control.server import Place

__all__ = ["parse"]

_DESCRIPTION = """\
Stand between legacy tools and QEMU's QMP socket. savevm, loadvm and delvm, sent by
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
  ask a proxy started with --control how its VMs are (also clients, metrics), and give orders to one started with --admin
  (also disconnect, resume, reload, upgrade); each of these has its own --help:
    hmp-proxy status
    hmp-proxy pause vm1 --for 600
  put a newer version in its place, which no tool notices, where it was started with --replaceable PATH:
    hmp-proxy --config /etc/hmpshim.toml --replace PATH
  have systemd start it, and start the newer version in its place, which no tool notices:
    hmp-proxy install-units
    hmp-proxy upgrade
  try it by hand:
    socat READLINE UNIX-CONNECT:/run/vm1/legacy.sock
    {"execute": "qmp_capabilities"}
    {"execute": "human-monitor-command", "arguments": {"command-line": "savevm t1"}}
"""

_LISTEN_ADDRESSES = """\
  stdio                 for --listen: one client, at standard input and output; the proxy ends when it leaves
  systemd               for --listen: the sockets of a systemd .socket unit
  systemd:NAME          for --listen: those of the .socket unit with FileDescriptorName=NAME
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
  3  QEMU's socket cannot be reached          7  the running proxy cannot be replaced
  4  the other end is not a QMP server, serves another client, or is too old for --attach
  8  the VMs are left to systemd, which is to start the new program (hmp-proxy upgrade)
  130  stopped at once by a second signal

When QEMU goes away, the clients are disconnected, and the proxy waits for QEMU to come back on the same socket; with
--end-with-vm it ends with status 0. If a VM of a file cannot be served, the proxy keeps trying, and the others go on.
On SIGHUP the proxy reads the configuration file again, serves the VMs that it names now, and reopens the audit logs."""


def _parser() -> Parser:
    epilog = f"{_EXAMPLES}\n{ADDRESSES}{_LISTEN_ADDRESSES}{_LISTENER_OPTIONS}{PATTERNS}{RULES}{_EXIT_STATUS}"
    parser = make_parser("hmp-proxy", _DESCRIPTION, epilog)
    add_version(parser)
    vm = add_vm(parser, Program.PROXY)
    vm.add_argument(
        "--check",
        action="store_true",
        help="report all mistakes in the configuration, and end: with status 0 if there are none, else 2",
    )
    _add_places(vm)
    replacing = vm.add_mutually_exclusive_group()
    replacing.add_argument(
        "--replaceable", metavar="PATH", help="the socket at which a newer process can take all VMs over (default: none)"
    )
    replacing.add_argument(
        "--replace", metavar="PATH", help="take over from the process at this socket, and be replaceable there afterwards"
    )
    sections = (Section.ACCESS, Section.RULES, Section.POLICY, Section.SNAPSHOTS, Section.GONE, Section.MODE, Section.LIMITS)
    for section in sections:
        add_section(parser, Program.PROXY, section)
    log = add_section(parser, Program.PROXY, Section.LOG)
    log.add_argument("--verbose", action="store_true", help="also log each connection")
    log.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="how the log is written (default %(default)s)"
    )
    return parser


def _add_places(group: argparse._ArgumentGroup) -> None:
    """Add the options for the sockets at which the process is asked. Without them it has none."""
    for option, name, text in (
        ("--control", "control", "a socket for questions: hmp-proxy status, clients, metrics"),
        ("--admin", "admin", "a socket that takes orders, too: hmp-proxy disconnect, pause, resume, reload, upgrade"),
    ):
        default = f"without PATH: {name}.sock in {DEFAULT_FOLDER}"
        group.add_argument(
            option,
            nargs="?",
            type=read_socket,
            const=default_path(name),
            metavar="PATH",
            help=f"{text}; with ,mode=, ,owner= and ,group= as a listener has; {default} (default: none)",
        )
    group.add_argument(
        "--metrics",
        type=read_metrics_address,
        metavar="ADDRESS",
        help="where Prometheus finds /metrics by HTTP, such as tcp:127.0.0.1:9180 (default: none)",
    )


def parse(arguments: Sequence[str]) -> ServeInvocation | CheckInvocation:
    """Parse the command line. Exits if it is wrong. Raises ConfigError for a wrong configuration file."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.config is not None:
        refuse_mixture(parser, given, ())
        from host.configuration.config_file import read_config_file  # here, because without a file there is no TOML

        file = read_config_file(given.config)
        if given.check:
            return CheckInvocation(file.vms, file.mistakes, given.config, len(file.templates))
        if file.mistakes:
            raise file.mistakes[0]
        serving = replace(_serve(file.vms, given), templates=file.templates)
        # The fleet would make such copies, and the originals would stay in memory here for as long as it runs.
        return replace(serving, vms=tuple(replace(vm, wait=True) for vm in file.vms)) if serving.forgives else serving
    members = settle(members_of(parser, given, Owner.VM), Terms(**members_of(parser, given, Owner.LISTENER)))
    _complete_upstream(parser, members)
    vm = VMConfig(**members, policy=policy_of(parser, given), audit=audit_of(parser, given))
    refuse(parser, contradictions(vm))
    if given.check:
        return CheckInvocation((vm,), (), None)
    return _serve((vm,), given)


def _serve(vms: tuple[VMConfig, ...], given: argparse.Namespace) -> ServeInvocation:
    return ServeInvocation(
        vms,
        given.config,
        given.verbose,
        given.log_format == "json",
        *(None if said is None else _place(said) for said in (given.control, given.admin, given.metrics)),
        replaceable_path=given.replaceable or given.replace,
        replace_path=given.replace,
    )


def _place(said: Address | Said) -> "Place":
    from proxy.control.server import Place  # here, because most processes are not asked

    return Place.of(said)


def _complete_upstream(parser: argparse.ArgumentParser, members: dict[str, Any]) -> None:
    """Complete where QEMU is, and check that it says where clients come in: a socket that is taken over is both."""
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

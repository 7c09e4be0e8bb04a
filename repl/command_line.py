"""The command line of `hmp-repl`."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from host.configuration.options import (
    PATTERNS,
    HelpFormatter,
    Parser,
    add_section,
    add_settings,
    add_version,
    choose_vm,
    policy_of,
    refuse_mixture,
)
from host.net.addresses import TCPAddress, UnixAddress
from host.settings.config import STANDARD_OUTPUT, AuditSettings, UpstreamTLS, VMConfig
from host.settings.setting_types import argument
from host.settings.settings import Program, Section, settings_of
from repl.lines.target import parse_target
from repl.settings.values import Settings
from shim.graph.policy import FailedLoad, Policy
from shim.printable import printable

if TYPE_CHECKING:  # it is needed only without an address
    from repl.finding.choosing import Ask

__all__ = ["Invocation", "leaving_alone", "parse_command_line"]

_DESCRIPTION = """\
A prompt for QEMU's monitor. savevm, loadvm, delvm and "info snapshots" are done by QEMU's snapshot jobs on the disks that
the policy chooses; all other HMP commands are QEMU's own. Tab completes, and "help" lists what else there is."""

_REST = """\
address:
  unix:PATH, or PATH    QEMU's QMP socket, or hmp-proxy's (QEMU serves one client per socket, the proxy many).
                        At a proxy's socket the proxy's policy applies: the proxy does the snapshot commands and
                        makes the plans, and options that give another policy are an error
  tcp:HOST:PORT         the same on TCP; [::1] for IPv6
  NAME                  a VM of hmpshim.toml in /etc or ~/.config, of a running proxy (--control), or of a QEMU that
                        runs here with a QMP socket; what has a slash or is a file is a path. Without ADDRESS, the only VM is
                        taken, or you are asked which; with -c or a pipe, several are an error

examples:
  hmp-repl
  hmp-repl vm1
  hmp-repl /run/vm1/qmp.sock
  hmp-repl --config /etc/hmpshim.toml --vm vm1
  hmp-repl /run/vm1/qmp.sock -c "savevm t1" -c "info snapshots"
  echo "info status" | hmp-repl /run/vm1/qmp.sock
"""

_EXIT_STATUS = """
environment:
  HMPSHIM_PAGER, PAGER  what long output at the prompt is read in (default: less, or more); empty for none

exit status:
  0  all went well       2  wrong usage, or a wrong configuration
  1  a command failed    3  no connection to QEMU, or it was lost
  130  interrupted; a snapshot command that had begun went on to its end
  143  ended by SIGTERM or SIGHUP"""


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the command line asks for.

    name: the VM's in the audit; None for QEMU's own. commands: those of -c; None to read them from standard input. history:
    None to keep none. tls: the TLS settings of the connection to QEMU, None for no TLS. policy_options: the options that gave
    the policy. file_policy: the configuration file's policy. hmp_errors: leave unknown tags to QEMU. settings_file: the
    person's settings, None to read none. is_settings_named: an option named that file. settings: its content, for the prompt
    only.
    """

    address: UnixAddress | TCPAddress
    policy: Policy
    name: str | None = None
    audit: AuditSettings | None = None
    commands: tuple[str, ...] | None = None
    as_json: bool = False
    asks: bool = True
    is_raw: bool = False
    keeps_going: bool = False
    hmp_errors: bool = False
    reconnects: bool = False
    is_vi: bool = False
    history: Path | None = None
    policy_options: tuple[str, ...] = ()
    file_policy: Policy | None = None
    tls: UpstreamTLS | None = None
    settings_file: Path | None = None
    is_settings_named: bool = False
    settings: Settings = field(default_factory=Settings)


def _parser() -> Parser:
    parser = Parser(
        prog="hmp-repl",
        description=_DESCRIPTION,
        epilog=f"{_REST}{PATTERNS}{_EXIT_STATUS}",
        formatter_class=HelpFormatter,
    )
    add_version(parser)
    _add_vm(parser)
    add_section(parser, Program.PROMPT, Section.POLICY)
    add_section(parser, Program.PROMPT, Section.SNAPSHOTS)
    _add_script(parser)
    _add_person(parser)
    return parser


def _add_vm(parser: Parser) -> None:
    group = parser.add_argument_group("the VM")
    group.add_argument(
        "address",
        nargs="?",
        type=argument(parse_target),
        metavar="ADDRESS",
        help="where QEMU's monitor listens, or the name of a VM (see address below)",
    )
    group.add_argument(
        "--config",
        metavar="FILE",
        help="read the policy, the VM's name, the audit log and, without ADDRESS, the socket from hmp-proxy's file",
    )
    group.add_argument("--vm", metavar="NAME", help="which VM of the file, if it has several")
    add_settings(group, Program.PROMPT, settings_of(Program.PROMPT, Section.LOG))
    group.add_argument(
        "--hmp-errors",
        action="store_true",
        help="leave an unknown tag to QEMU: a loadvm of it stops the VM, and no similar tag is suggested",
    )


def _add_script(parser: Parser) -> None:
    group = parser.add_argument_group("for scripts")
    group.add_argument(
        "-c", dest="command", action="append", metavar="COMMAND", help="run this command, then exit (repeatable)"
    )
    group.add_argument("--json", action="store_true", help="print one JSON object per command")
    group.add_argument("--keep-going", action="store_true", help="go on after a command that failed")
    group.add_argument("--raw", action="store_true", help='print HMP\'s output byte for byte, also that of "info snapshots"')


def _add_person(parser: Parser) -> None:
    group = parser.add_argument_group("at a terminal")
    group.add_argument(
        "--yes", action="store_true", help="do not ask before something is lost (without a terminal, nothing is ever asked)"
    )
    group.add_argument("--reconnect", action="store_true", help="when QEMU has gone, connect again as soon as it is back")
    group.add_argument("--vi", action="store_true", help="start with vi keys instead of emacs keys; F4 switches")
    group.add_argument(
        "--history",
        metavar="FILE",
        help='keep typed lines in FILE; "" keeps none (default: hmpshim/history in $XDG_STATE_HOME or ~/.local/state); '
        "a line that begins with a blank is not kept, nor one with a password",
    )
    group.add_argument(
        "--settings",
        metavar="FILE",
        help='read keys, colors, aliases and more from FILE; "" reads none '
        "(default: hmpshim/repl.toml in $XDG_CONFIG_HOME or ~/.config)",
    )


def parse_command_line(arguments: Sequence[str], ask: "Ask | None" = None) -> Invocation:
    """Read the command line. Exits with status 2 and one line on standard error if it is wrong.

    ask: chooses a VM if none is named; None if nobody can be asked.

    Raises ConfigError for an invalid configuration file.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    address, vm = _target(parser, given, ask)
    return Invocation(
        address=address,
        policy=leaving_alone(policy_of(parser, given) if vm is None else vm.policy, hmp_errors=given.hmp_errors),
        name=given.name or (None if vm is None else vm.name),
        audit=_audit(parser, given.audit, None if vm is None else vm.audit),
        commands=None if given.command is None else tuple(given.command),
        as_json=given.json,
        asks=not given.yes,
        is_raw=given.raw,
        keeps_going=given.keep_going,
        hmp_errors=given.hmp_errors,
        reconnects=given.reconnect,
        is_vi=given.vi,
        history=_file_of(given.history, "XDG_STATE_HOME", "~/.local/state", "history"),
        policy_options=tuple(given.policy_options),
        file_policy=None if vm is None else vm.policy,
        tls=vm.upstream_tls if vm is not None and address == vm.upstream else None,
        settings_file=_file_of(given.settings, "XDG_CONFIG_HOME", "~/.config", "repl.toml"),
        is_settings_named=given.settings is not None,
    )


def leaving_alone(policy: Policy, *, hmp_errors: bool = False) -> Policy:
    """Return the policy, set to refuse loads that would only stop the VM and fail, unless the operator wants them."""
    wanted = FailedLoad.HMP if hmp_errors else policy.failed_load
    return replace(policy, failed_load=wanted or FailedLoad.REFUSE)


def _audit(parser: Parser, given: str | None, of_file: AuditSettings | None) -> AuditSettings | None:
    if given is None and of_file is None:
        return None
    audit = of_file if given is None else (of_file or AuditSettings()).at(given)
    if audit is not None and audit.destination == STANDARD_OUTPUT:
        whose = "the file's audit log" if given is None else "--audit -"
        parser.error(f"{whose} goes to standard output, which the prompt itself uses; give --audit FILE, or --audit syslog:")
    return audit


_Target: TypeAlias = tuple[UnixAddress | TCPAddress, VMConfig | None]


def _target(parser: Parser, given: argparse.Namespace, ask: "Ask | None") -> _Target:
    """Return where to connect, and what a configuration says about the VM there."""
    name = given.address if isinstance(given.address, str) else None
    address = given.address if name is None else None
    if given.vm is not None and (given.config is None or name is not None):
        parser.error("--vm needs --config FILE" if given.config is None else "--vm and the name of a VM cannot both be given")
    if given.config is None:
        return (address, None) if address is not None else _found(parser, given, name, ask)
    refuse_mixture(parser, given, ("audit",))
    if given.vm is not None or address is not None:
        vm = choose_vm(parser, given.config, given.vm)
        return address or _address_of(parser, vm), vm
    from repl.finding.configured import load_vms  # here, because few files are read without a name

    vms = load_vms(given.config)
    if name is None and len(vms) == 1:
        return _address_of(parser, vms[0]), vms[0]
    return _found(parser, given, name, ask, vms)


def _found(
    parser: Parser,
    given: argparse.Namespace,
    name: str | None,
    ask: "Ask | None",
    only: Sequence[VMConfig] | None = None,
) -> _Target:
    """Find a VM by name, or let the person choose. only: the VMs of --config; None looks for all."""
    from repl.finding.choosing import NoVMError, choose  # here, because an address needs nothing of it
    from repl.finding.vms import Via

    try:
        found = choose(name, only=only, ask=None if given.command is not None else ask, tell=_warn)
    except NoVMError as exc:
        parser.error(str(exc))
    vm = found.config
    if only is None and vm is not None:
        vm = replace(vm, policy=policy_of(parser, given) if given.policy_options else vm.policy)
        # At a proxy's socket the proxy writes the audit log; this program may not even have the permission.
        vm = replace(vm, audit=None if found.via is Via.PROXY else vm.audit)
    return found.address, vm


def _warn(text: str) -> None:
    sys.stderr.write(f"hmp-repl: {printable(text)}\n")


def _address_of(parser: Parser, vm: VMConfig) -> UnixAddress | TCPAddress:
    """Return the proxy's socket if there is one to connect to, because the proxy occupies QEMU's own; otherwise QEMU's."""
    for address in (*vm.open_listeners, vm.upstream):
        if isinstance(address, UnixAddress | TCPAddress):
            return address
    parser.error("the file names no socket that can be connected to; give ADDRESS")


def _file_of(given: str | None, variable: str, folder: str, name: str) -> Path | None:
    """Return the file that was given, or the person's default file; None for "", which means none."""
    if given is not None:
        return Path(given) if given else None
    said = os.environ.get(variable, "")
    return Path(said if os.path.isabs(said) else folder).expanduser() / "hmpshim" / name

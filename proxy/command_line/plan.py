"""The command line of `hmp-proxy plan`."""

from collections.abc import Sequence

from host.configuration.access_contradictions import access_contradictions
from host.configuration.options import PATTERNS, Parser, add_section, choose_vm, members_of, policy_of, refuse_mixture
from host.settings.config import VMConfig
from host.settings.settings import Owner, Program, Section
from proxy.command_line.invocations import PlanInvocation
from proxy.command_line.parsers import ADDRESSES, add_vm, make_parser, refuse

__all__ = ["parse"]

_DESCRIPTION = """\
Show what the proxy would do with a command: all block nodes, which of them it would take and why, where the VM state
would go, the exact QMP commands, and the answer. Only queries are sent to QEMU; nothing is changed.
At a proxy's socket the proxy itself makes the plan, by the policy that is in force there. If options or a file give a
policy, the plan is made by that one instead, and says so."""

_EXIT_STATUS = """
exit status:
  0  the plan was shown, whatever it says
  2  wrong usage, or a wrong configuration
  3  QEMU's socket cannot be reached
  4  the other end is not a QMP server, or it is serving another client
  5  the socket to which QEMU is to connect (accept:) cannot be created"""


def _parser() -> Parser:
    parser = make_parser("hmp-proxy plan", _DESCRIPTION, f"{ADDRESSES}{PATTERNS}{_EXIT_STATUS}")
    vm = add_vm(parser, Program.PLAN)
    vm.add_argument("--vm", metavar="NAME", help="which VM of the file, if it has several")
    add_section(parser, Program.PLAN, Section.POLICY)
    add_section(parser, Program.PLAN, Section.SNAPSHOTS)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="an HMP command, such as: savevm t1")
    return parser


def parse(arguments: Sequence[str]) -> PlanInvocation:
    """Parse the command line. Exits if it is wrong. Raises ConfigError for a wrong configuration file."""
    parser = _parser()
    given = parser.parse_args(arguments)
    command_line = " ".join(given.command)
    if given.config is None:
        if given.upstream is None:
            parser.error("say where QEMU is: --upstream, or --config FILE")
        if given.vm is not None:
            parser.error("--vm needs --config FILE")
        vm = VMConfig(**members_of(parser, given, Owner.VM), policy=policy_of(parser, given))
        refuse(parser, access_contradictions(vm))
        return PlanInvocation(vm, command_line, given.json, ", ".join(given.policy_options) or None)
    refuse_mixture(parser, given, ("upstream",))
    chosen = choose_vm(parser, given.config, given.vm)
    vm = chosen if given.upstream is None else VMConfig(given.upstream, policy=chosen.policy)
    return PlanInvocation(vm, command_line, given.json, given.config)

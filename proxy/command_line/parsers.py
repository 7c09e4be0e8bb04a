"""What the parsers of `hmp-proxy` and its subcommands share."""

import argparse
from collections.abc import Iterable

from host.configuration.contradiction import Contradiction
from host.configuration.options import HelpFormatter, Parser, add_settings
from host.settings.settings import Program, Section, option_of, settings_of, with_options

__all__ = ["ADDRESSES", "add_vm", "make_parser", "refuse"]

ADDRESSES = """\
addresses:
  unix:PATH             a unix socket
  tcp:HOST:PORT         a TCP socket; [::1] for IPv6
  fd:N                  an inherited socket, listening or connected
  accept:unix:PATH      for --upstream: QEMU connects to the proxy (-qmp unix:PATH,server=off,reconnect=1)
"""


def make_parser(prog: str, description: str, epilog: str) -> Parser:
    return Parser(prog=prog, description=description, epilog=epilog, formatter_class=HelpFormatter)


def add_vm(parser: Parser, program: Program) -> argparse._ArgumentGroup:
    """Add the address of QEMU and the configuration file, and then the other settings about the VM."""
    group = parser.add_argument_group(Section.VM.value)
    upstream, *others = settings_of(program, Section.VM)
    add_settings(group, program, [upstream])
    group.add_argument("--config", metavar="FILE", help="read all settings from a TOML file, for any number of VMs")
    add_settings(group, program, others)
    return group


def refuse(parser: argparse.ArgumentParser, problems: Iterable[Contradiction]) -> None:
    """Exit with an error for the first of these problems, if there is one."""
    for problem in problems:
        parser.error(f"{option_of(problem.key)}: {with_options(problem.reason)}")

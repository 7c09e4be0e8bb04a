"""The wrapper's own command line: `hmp-proxy wrap [OPTION...] -- QEMU ARGUMENT...`, or QEMU's name and arguments alone.

Called by QEMU's name, it has no options of its own. Its settings then come from a file, if there is one, and the real QEMU from
the environment, if it is not the next program of that name on PATH.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from host.net.addresses import DescriptorAddress
from proxy.wrapping.qemu_program import QEMU_VARIABLE

if TYPE_CHECKING:  # without options none of it is needed
    from argparse import Namespace

    from host.configuration.contradiction import Contradiction
    from host.configuration.options import Parser
    from host.settings.config import VMConfig

__all__ = ["CONFIG_FILE", "CONFIG_VARIABLE", "WrapInvocation", "parse_wrap", "read_call_as_qemu"]

CONFIG_VARIABLE: Final = "HMPSHIM_CONFIG"
CONFIG_FILE: Final = "/etc/hmpshim/wrap.toml"
# A placeholder: the descriptor's number is known when QEMU is started.
_UPSTREAM: Final = DescriptorAddress(0)
_SEPARATOR: Final = "--"

_DESCRIPTION: Final = """\
Run QEMU and serve its monitors: the proxy serves what -qmp, -monitor and their like ask for, and the rest
of the command line is QEMU's. Started by a tool in QEMU's place, or called by a link with QEMU's name, it needs no
change to the tool."""

_EPILOG: Final = f"""
QEMU:
  the name of the program, looked up on PATH, or its path; then all of QEMU's arguments. Where the wrapper
  itself has that name, the next one on PATH is taken. --qemu or {QEMU_VARIABLE} name the real one.

limits:
  --negotiation-timeout is 0 here unless another value is given: QEMU waits for its clients for ever.

called by QEMU's name (ln -s /usr/bin/hmp-proxy /usr/local/bin/qemu-system-x86_64):
  there are no options; the [defaults] of the file that {CONFIG_VARIABLE} names, or of {CONFIG_FILE},
  hold. Without the file the defaults of this help do.

exit status:
  QEMU's own, and before QEMU is started:
  2    wrong usage, or a wrong configuration
  6    the audit log cannot be opened
  126  QEMU cannot be run
  127  QEMU cannot be found"""


@dataclass(frozen=True, slots=True)
class WrapInvocation:
    """What to run.

    Attributes:
        name: QEMU as it was called: a name to be found on PATH, or a path.
        words: QEMU's arguments.
        config: the settings; None for the defaults.
        is_verbose: whether connections are logged, too.
        qemu: the real QEMU, if it was named.
    """

    name: str
    words: tuple[str, ...]
    config: "VMConfig | None" = None
    is_verbose: bool = False
    qemu: str | None = None


def read_call_as_qemu(program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> WrapInvocation:
    """Parse the command line of a caller that takes us for QEMU. Raises ConfigError."""
    path = environment.get(CONFIG_VARIABLE) or (CONFIG_FILE if os.path.exists(CONFIG_FILE) else None)
    config = None if path is None else _read_file(path)
    return WrapInvocation(os.path.basename(program), tuple(arguments), config, qemu=environment.get(QEMU_VARIABLE))


def parse_wrap(arguments: Sequence[str], environment: Mapping[str, str]) -> WrapInvocation:
    """Parse what follows `hmp-proxy wrap`. Exits with status 2 if it is wrong. Raises ConfigError."""
    at = arguments.index(_SEPARATOR) if _SEPARATOR in arguments else len(arguments)
    own, called = arguments[:at], arguments[at + 1 :]
    qemu = environment.get(QEMU_VARIABLE)
    if not own and called:
        return WrapInvocation(called[0], tuple(called[1:]), qemu=qemu)
    from host.configuration.options import refuse_mixture  # here, because most calls have no options

    parser = _parser()
    given = parser.parse_args(own)
    if not called:
        parser.error(f"write QEMU's command line after {_SEPARATOR}, such as: {_SEPARATOR} qemu-system-x86_64 -monitor stdio")
    if given.config is not None:
        refuse_mixture(parser, given, ())
        config = _read_file(given.config)
    else:
        config = _config_of(parser, given)
    return WrapInvocation(called[0], tuple(called[1:]), config, given.verbose, given.qemu or qemu)


def _parser() -> "Parser":
    from host.configuration.options import PATTERNS, RULES, HelpFormatter, Parser, add_section
    from host.settings.settings import Program, Section

    parser = Parser(
        prog="hmp-proxy wrap",
        usage="hmp-proxy wrap [OPTION...] -- QEMU ARGUMENT...",
        description=_DESCRIPTION,
        epilog=f"{PATTERNS}{RULES}{_EPILOG}",
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--qemu", metavar="PATH", help="the real QEMU (default: the next program of that name on PATH)")
    parser.add_argument("--config", metavar="FILE", help="take the settings from the [defaults] of a TOML file")
    for section in (Section.RULES, Section.POLICY, Section.SNAPSHOTS, Section.GONE, Section.MODE, Section.LIMITS):
        add_section(parser, Program.PROXY, section)
    log = add_section(parser, Program.PROXY, Section.LOG)
    log.add_argument("--verbose", action="store_true", help="also log each connection")
    return parser


def _read_file(path: str) -> "VMConfig":
    """Read the settings from a file. Raises ConfigError."""
    from host.configuration.config_file import load_defaults
    from host.errors import ConfigError

    config = load_defaults(path, _UPSTREAM)
    for problem in _problems(config):
        raise ConfigError(path, 0, problem.key, problem.reason)
    return config


def _config_of(parser: "Parser", given: "Namespace") -> "VMConfig":
    """Return the settings that the options give; exits if they contradict each other."""
    from host.configuration.contradictions import contradictions_without_sockets
    from host.configuration.options import audit_of, members_of, policy_of
    from host.settings.config import VMConfig
    from host.settings.listener import Terms
    from host.settings.settings import Owner, option_of, with_options

    terms = Terms(**members_of(parser, given, Owner.LISTENER))
    members = members_of(parser, given, Owner.VM)
    config = VMConfig(_UPSTREAM, terms=terms, **members, policy=policy_of(parser, given), audit=audit_of(parser, given))
    for problem in (*contradictions_without_sockets(config), *_problems(config)):
        parser.error(f"{option_of(problem.key)}: {with_options(problem.reason)}")
    return config


def _problems(config: "VMConfig") -> Iterator["Contradiction"]:
    """Yield the settings that make no sense for a wrapped QEMU."""
    from host.configuration.contradiction import Contradiction
    from host.settings.config import STANDARD_OUTPUT

    if config.audit is not None and config.audit.destination == STANDARD_OUTPUT:
        yield Contradiction("audit", "standard output is QEMU's; write a file, or syslog:")
    if config.terms.tls_certificate:
        reason = "the monitors of a wrapped QEMU have no TLS; have it listen on 127.0.0.1, or on a unix socket"
        yield Contradiction("tls_certificate", reason)

"""The command line of `hmp-proxy install-units`."""

from collections.abc import Sequence

from proxy.command_line.invocations import InstallUnitsInvocation
from proxy.command_line.parsers import make_parser

__all__ = ["parse"]

_DESCRIPTION = """\
Put systemd's units of hmp-proxy in place: a service for all VMs, one for a single VM, and a socket for that. They start
this hmp-proxy, from where it is now. Nothing is started or enabled; what to do next is printed. A unit that was changed
is kept, so this can be run after each upgrade. Put your own changes into a drop-in: systemctl edit UNIT."""

_EXIT_STATUS = """
exit status:
  0  the units are in place
  2  wrong usage
  3  a unit cannot be written
  4  a unit was changed, and is kept; the others are in place
  5  the service could not start this hmp-proxy; nothing was written"""


def parse(arguments: Sequence[str]) -> InstallUnitsInvocation:
    parser = make_parser("hmp-proxy install-units", _DESCRIPTION, _EXIT_STATUS)
    parser.add_argument(
        "--user",
        action="store_true",
        help="install them for your own systemd, in systemd/user in XDG_CONFIG_HOME (default: in /etc/systemd/system)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace changed units, too, and install even where the sandbox would keep the service from starting",
    )
    parser.add_argument("--print", action="store_true", help="print the units instead, each after its path")
    given = parser.parse_args(arguments)
    return InstallUnitsInvocation(is_for_user=given.user, is_forced=given.force, only_prints=given.print)

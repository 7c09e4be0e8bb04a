"""The command lines that ask a running proxy."""

from collections.abc import Sequence

from host.options import Parser
from proxy.command_line.invocations import StatusInvocation
from proxy.command_line.parsers import make_parser

__all__ = ["parse_status"]

_STATUS_DESCRIPTION = """\
Ask a running proxy how its VMs are: which are served, by which policy, who is connected, and which snapshot command runs.
The proxy was started with --control PATH."""

_DEFAULT_CONTROL = "/run/hmp-proxy/control.sock for root, else hmp-proxy/control.sock in XDG_RUNTIME_DIR"
_STATUS_EXIT_STATUS = """
exit status:
  0  the status was shown, whatever it says
  2  wrong usage, or no such VM
  3  no proxy answers there"""


def _status_parser() -> Parser:
    parser = make_parser("hmp-proxy status", _STATUS_DESCRIPTION, _STATUS_EXIT_STATUS)
    parser.add_argument("--control", metavar="PATH", help=f"the proxy's control socket (default: {_DEFAULT_CONTROL})")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("vm", nargs="?", metavar="VM", help="show only this VM, and its clients")
    return parser


def parse_status(arguments: Sequence[str]) -> StatusInvocation:
    given = _status_parser().parse_args(arguments)
    return StatusInvocation(given.control, given.vm, given.json)

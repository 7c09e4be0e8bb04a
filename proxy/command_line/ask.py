"""The command lines that ask a running proxy, or give it orders."""

import argparse
from collections.abc import Sequence
from math import isfinite
from typing import Final

from host.configuration.options import Parser
from proxy.command_line.invocations import AskInvocation, Question
from proxy.command_line.parsers import make_parser
from proxy.command_line.places import DEFAULT_FOLDER

__all__ = ["parse"]

_DESCRIPTIONS: Final = {
    Question.STATUS: """\
Ask a running proxy how its VMs are: which are served, by which policy, who is connected, which snapshot command runs, and
which have failed. The proxy was started with --control PATH.""",
    Question.CLIENTS: """\
List the clients of a running proxy: who they are, since when they are connected, and what they wait for.
The proxy was started with --control PATH.""",
    Question.METRICS: """\
Print the numbers of a running proxy in Prometheus' text format, as it serves them with --metrics ADDRESS.
The proxy was started with --control PATH.""",
    Question.DISCONNECT: """\
Disconnect a client of a VM. What QEMU has begun for it runs to its end; what waits is abandoned, and the audit log says so.
The proxy was started with --admin PATH.""",
    Question.PAUSE: """\
Make the savevm, loadvm and delvm of a VM's clients wait, and QMP's own snapshot commands, too, such as during a backup.
All else goes on. A snapshot command that already runs is waited for: when this returns, nothing changes the VM's snapshots
until hmp-proxy resume. The proxy was started with --admin PATH.""",
    Question.RESUME: """\
Let the snapshot commands of a VM's clients go on after hmp-proxy pause.
The proxy was started with --admin PATH.""",
    Question.RELOAD: """\
Have a running proxy read its configuration file again, as SIGHUP does, and report mistakes in it.
The proxy was started with --admin PATH.""",
    Question.UPGRADE: """\
Have systemd start a running proxy anew, by the program that is installed now, and no tool notices: the proxy leaves the
connections of its VMs to systemd, which passes them to the new process. If one of the VMs cannot be handed over, nothing
changes, and the reason is printed. The proxy was started with --admin PATH, by a unit of hmp-proxy install-units.""",
}
_STATUSES: Final = {
    Question.STATUS: "the status was shown, whatever it says",
    Question.CLIENTS: "they were listed",
    Question.METRICS: "they were printed",
    Question.DISCONNECT: "it was disconnected",
    Question.PAUSE: "the snapshot commands are paused, and none runs",
    Question.RESUME: "they go on, or were not paused",
    Question.RELOAD: "the configuration was read, and is in force",
    Question.UPGRADE: "a new process serves the VMs",
}
_WRONG: Final = {
    Question.METRICS: "wrong usage",
    Question.DISCONNECT: "wrong usage, or no such VM or client",
    Question.RELOAD: "wrong usage, or mistakes in the file, and everything stays as it was",
    Question.UPGRADE: "wrong usage, or systemd cannot keep the VMs; they are served as before",
}
_OTHERS: Final = {Question.UPGRADE: "\n  7  some VMs cannot be handed over; all are served as before"}
_NAMES_A_VM: Final = (Question.DISCONNECT, Question.PAUSE, Question.RESUME)


def _parser(question: Question) -> Parser:
    epilog = f"""
exit status:
  0  {_STATUSES[question]}
  2  {_WRONG.get(question, "wrong usage, or no such VM")}
  3  no proxy answers there{_OTHERS.get(question, "")}"""
    parser = make_parser(f"hmp-proxy {question}", _DESCRIPTIONS[question], epilog)
    option, name = ("--admin", "admin") if question.acts else ("--control", "control")
    default = f"{name}.sock in {DEFAULT_FOLDER}"
    parser.add_argument(option, dest="path", metavar="PATH", help=f"the proxy's socket for that (default: {default})")
    if question in (Question.STATUS, Question.CLIENTS):
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")
        parser.add_argument("vm", nargs="?", metavar="VM", help="show only this VM, and more of it")
    if question is Question.STATUS:
        parser.add_argument("--watch", action="store_true", dest="watches", help="show it again every second, until Ctrl-C")
    if question is Question.PAUSE:
        parser.add_argument(
            "--for", type=_seconds, dest="for_s", metavar="SECONDS", help="let the commands go on by themselves after this time"
        )
        parser.add_argument("--no-wait", action="store_true", help="do not wait for a snapshot command that already runs")
    if question is Question.UPGRADE:
        parser.add_argument(
            "--end-others",
            action="store_true",
            help="disconnect the clients of VMs that cannot be handed over, once their commands are done; the new process "
            "serves these VMs anew",
        )
    if question in _NAMES_A_VM:
        parser.add_argument("vm", metavar="VM", help="the VM's name in the configuration")
    if question is Question.DISCONNECT:
        parser.add_argument("client", metavar="CLIENT", help="the client's number in hmp-proxy clients, or its pid")
    return parser


def parse(question: Question, arguments: Sequence[str]) -> AskInvocation:
    """Parse the words after the subcommand. Exits if they are wrong."""
    parser = _parser(question)
    given = parser.parse_args(arguments)
    if question is Question.STATUS and given.watches and given.as_json:
        parser.error("--watch shows a table; drop --json")
    return AskInvocation(question, **vars(given))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if seconds > 0 and isfinite(seconds):
        return seconds
    raise argparse.ArgumentTypeError(f"'{text:.40}' is not a number of seconds greater than 0")

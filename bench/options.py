"""The command line of `python -m bench`."""

import argparse
from dataclasses import dataclass
from typing import Final

from bench.measures.workloads import QEMU_WORKLOADS, workloads

__all__ = ["COSTS", "Options", "parse_command_line"]

# What is measured besides the workloads, by the names that --only takes.
COSTS: Final = {
    "process": "start to listening, resident memory, page faults a message: hmp-proxy alone",
    "host": "one process with 1,000 VMs: memory, idle CPU, ping beside that of one VM, reading the configuration again",
    "neighbours": "pings of a VM beside one in the same process whose QEMU floods, flaps, or talks nonsense",
    "bytes": "what QEMU's side receives for a command that is forwarded",
    "growth": "resident memory after the workloads that ran (none without them)",
    "prompt": "real QEMU: start to prompt of hmp-repl, beside the import of its libraries alone",
    "report": "hmp-audit report on a million records, beside a loop of json.loads; time and memory",
    "snapshots": "real QEMU: savevm, loadvm and delvm natively and through the proxy",
    "wrapper": "real QEMU: start to greeting and to the first answer, bare and as hmp-proxy wrap starts it",
    "survey": "real QEMU: the same on VMs of up to 26 disks with 100 snapshots each",
}

_DESCRIPTION = """\
Measure what hmp-proxy costs. Every workload runs round by round through four things in turn: no relay ("direct"),
socat, a plain relay made of qemu.qmp's QMPClient, and hmp-proxy. All of it is pinned to one core, because the time of
a round trip over several cores depends on where the scheduler puts them; only the start of a wrapped QEMU is measured
on all cores, too. Behind the relays is a stub server that answers at once, so that the relay is what is measured, and
for some workloads a real QEMU.

A missed target is marked in the table; the exit status is 0 all the same."""

_EPILOG = """\
needs: socat, qemu-system-x86_64 (or QEMU_SYSTEM=...) and qemu-img; what is missing is left out. With a C compiler
(cc) the client and the stub server are compiled, else they are in Python.
It leaves no process and no file behind.

exit status: 0 measured, 1 something could not be started, 2 wrong use, 130 interrupted

examples:
  python -m bench                                  everything; a few minutes
  python -m bench --quick                          everything, roughly; some seconds
  python -m bench --only ping --only pipelined     two workloads
  python -m bench --rule 'deny quit, @monitor'     what rules cost"""


@dataclass(frozen=True, slots=True)
class Options:
    """only: what to measure, by name. use_c: False for the client and stub server in Python. rules: for hmp-proxy's clients."""

    only: frozenset[str]
    is_quick: bool
    is_json: bool
    use_c: bool
    rules: tuple[str, ...] = ()

    @property
    def proxy_options(self) -> list[str]:
        return [word for rule in self.rules for word in ("--rule", rule)]


def parse_command_line(arguments: list[str]) -> Options:
    """Read the command line. Exits with status 2 if it is wrong."""
    named = {one.name: one.title for one in (*workloads(is_pgo=True), *QEMU_WORKLOADS)} | COSTS
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=_DESCRIPTION,
        epilog=f"names:\n{_listing(named)}\n\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds and events, for the order of size")
    parser.add_argument("--only", action="append", metavar="NAME", choices=named, help="measure only this (repeatable)")
    parser.add_argument("--json", action="store_true", help="print JSON with the numbers of every round")
    parser.add_argument("--python-load", action="store_true", help="use the client and stub server in Python, to compare")
    parser.add_argument(
        "--rule", action="append", metavar="RULE", default=[], help="have the clients of hmp-proxy obey this (repeatable)"
    )
    given = parser.parse_args(arguments)
    only = frozenset(given.only or named)
    return Options(only, given.quick, given.json, not given.python_load, tuple(given.rule))


def _listing(named: dict[str, str]) -> str:
    return "\n".join(f"  {name:<15} {title}" for name, title in named.items())

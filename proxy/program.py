"""The program `hmp-proxy`, except `wrap`: it serves VMs, or does what a subcommand asks for.

Each error is one line, with an exit status that `--help` lists, because it is often started by a script or a service manager. A
traceback means a bug of ours.
"""

from proxy.lean_start import all_imported  # before asyncio

# isort: split
import asyncio
import logging
import sys

from host.errors import ConfigError, ProgramError
from host.log_lines import log_ordinary_news, write_log
from proxy.command_line.invocations import (
    AskInvocation,
    CheckInvocation,
    InstallUnitsInvocation,
    PlanInvocation,
    ServeInvocation,
)
from proxy.command_line.subcommands import parse_command_line
from proxy.entrance.inherited import unclaimed_names
from proxy.process.daemon import Daemon
from proxy.qmp_json.limits import RECURSION_LIMIT
from proxy.recording.audit_writer import LAST_WRITE_S
from proxy.recording.disk_thread import finish_all

__all__ = ["main"]

# 128 plus the number of SIGINT, as shells report a process that a signal ended.
_INTERRUPTED = 130


def main() -> int:
    """Run the proxy, or a subcommand, and return the exit status that `hmp-proxy --help` lists."""
    all_imported()
    sys.setrecursionlimit(RECURSION_LIMIT)
    write_log("hmp-proxy")
    try:
        invocation = parse_command_line(sys.argv[1:])
        if isinstance(invocation, PlanInvocation):
            from proxy.commands.plan import explain_plan  # the proxy itself starts without it

            sys.stdout.write(asyncio.run(explain_plan(invocation)) + "\n")
        elif isinstance(invocation, AskInvocation):
            from proxy.commands.ask import ask  # here, as above

            return ask(invocation, sys.stdout)
        elif isinstance(invocation, InstallUnitsInvocation):
            return _install_units(invocation)
        elif isinstance(invocation, CheckInvocation):
            return _check(invocation)
        else:
            return _serve(invocation)
    except ProgramError as exc:
        logging.getLogger(__name__).error("%s", exc)
        return exc.exit_status
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _check(invocation: CheckInvocation) -> int:
    from proxy.commands.check import find_mistakes, summary  # here, as above

    mistakes = find_mistakes(invocation)
    for mistake in mistakes:
        logging.getLogger(__name__).error("%s", mistake)
    if mistakes:
        return ConfigError.exit_status
    sys.stdout.write(summary(invocation) + "\n")
    return 0


def _install_units(invocation: InstallUnitsInvocation) -> int:
    from proxy.commands.install_units import install_units  # here, as above

    text, exit_status = install_units(invocation)
    sys.stdout.write(text + "\n")
    return exit_status


def _serve(invocation: ServeInvocation) -> int:
    log_ordinary_news(is_verbose=invocation.verbose)
    if invocation.logs_json:
        write_log("hmp-proxy", as_json=True)

    for name in unclaimed_names(address for vm in invocation.vms for address in vm.listeners):
        told = "no VM listens at the socket '%s' of systemd, and clients wait there in vain: write listen = \"systemd:%s\""
        logging.getLogger(__name__).warning(told, name, name)

    async def serve() -> int:
        daemon = Daemon(invocation)
        await daemon.run()
        return daemon.exit_status

    try:
        return asyncio.run(serve())
    finally:
        finish_all(LAST_WRITE_S)

"""`hmp-repl`: the command."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from host.errors import ProgramError
from host.net.addresses import process
from repl.command_line import Invocation, parse_command_line
from repl.errors import ExitStatus, LinkError
from shim.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from host.audit_log.log import AuditLog
    from repl.finding.vms import FoundVM

__all__ = ["main"]

_ENDING = (signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run the prompt or a script, and return an exit status that `hmp-repl --help` lists."""
    try:
        invocation = parse_command_line(sys.argv[1:], _choose if _is_at_terminal() else None)
        return asyncio.run(_run(invocation if _is_script(invocation) else _with_settings(invocation)))
    except LinkError as exc:
        return _give_up(exc, ExitStatus.NO_CONNECTION)
    except ProgramError as exc:
        return _give_up(exc, ExitStatus.WRONG_USE)
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except asyncio.CancelledError:
        return ExitStatus.TERMINATED
    except BrokenPipeError:
        # Nobody reads the output any more; without this, the interpreter would complain when it flushes at exit.
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), sys.stdout.fileno())
        return ExitStatus.COMMAND_FAILED


async def _run(invocation: Invocation) -> int:
    _end_in_order()
    client = process(os.getpid(), os.getuid())
    audit_log = _open_audit_log(invocation)
    try:
        if _is_script(invocation):
            from repl.script import Script  # a person waits for the prompt, and only one of the two is needed

            return await Script(invocation, client, audit_log).run()
        from repl.prompt.app import Prompt

        return await Prompt(invocation, client, audit_log).run()
    finally:
        if audit_log is not None:
            audit_log.close()
        # From here on a signal ends the program at once; the loop could not hear of it any more.
        for number in _ENDING:
            asyncio.get_running_loop().remove_signal_handler(number)


def _is_at_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _is_script(invocation: Invocation) -> bool:
    return invocation.commands is not None or not _is_at_terminal()


def _with_settings(invocation: Invocation) -> Invocation:
    """Add the person's settings. Called before the event loop runs, which a slow file would block."""
    path = invocation.settings_file
    if path is None or not (invocation.is_settings_named or os.path.exists(path)):
        return invocation
    from repl.prompt.editor.style import COLORED  # here, because without a file nothing of TOML is needed
    from repl.settings.reading import read_settings

    return replace(invocation, settings=read_settings(path, names=COLORED))


def _choose(vms: Sequence[FoundVM]) -> FoundVM:
    from repl.prompt.choice import choose_at_terminal  # here, because whoever names a VM needs nothing of it

    return choose_at_terminal(vms)


def _end_in_order() -> None:
    """Make signals cancel the main task, so that cleanup runs: the terminal must not stay in the line editor's mode."""
    running = asyncio.current_task()
    assert running is not None
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_report)
    for number in _ENDING:
        loop.add_signal_handler(number, running.cancel)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Have a task's failure told, but not that it was cancelled.

    A second signal takes the program out of parting from QEMU, which qemu.qmp has begun in tasks of its own; that nobody waits
    for these any more is no failure.
    """
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def _open_audit_log(invocation: Invocation) -> AuditLog | None:
    if invocation.audit is None:
        return None
    from host.audit_log.log import open_audit_log
    from host.log_lines import write_log

    write_log("hmp-repl")
    return open_audit_log(invocation.audit, program="hmp-repl")


def _give_up(error: ProgramError, status: ExitStatus) -> int:
    sys.stderr.write(f"hmp-repl: {printable(str(error))}\n")
    return status


if __name__ == "__main__":  # pragma: no cover - a program of its own: tests/integration/scripts/test_scripts.py
    sys.exit(main())

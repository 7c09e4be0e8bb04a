"""What becomes of an entered line: nearly always a human-monitor-command, whose text is what a monitor prints.

Some commands need more, because human-monitor-command makes a monitor that lasts for one command only. `migrate` without -d
makes its monitor wait for the end, which such a monitor cannot. A descriptor that came with `getfd` belongs to the monitor that
took it, where no later human-monitor-command finds it; so `getfd`, `closefd` and `migrate fd:NAME` become QMP's commands of
these names.
"""

from enum import Enum, auto
from typing import Final

from proxy.human_clients.steps import Pause, Steps
from proxy.human_monitor.completion import split_words
from proxy.human_monitor.dialogue import CommandEntered
from shim.hmp.line import HMPLine
from shim.qmp import ErrorReply, Execute, Reply, ReturnReply

__all__ = ["Ending", "run", "set_password", "takes_descriptor"]

_QUIT: Final = frozenset({"quit", "q"})
# What human-monitor-command returns for a command that asks for a password (monitor/hmp.c, monitor_read_password).
_ASKS_FOR_PASSWORD: Final = "terminal does not support password prompting\r\n"
_NOT_UTF_8: Final = "Error: hmpshim cannot pass on what is not UTF-8\r\n"
# And for one that would have to wait (migration/migration-hmp-cmds.c, hmp_migrate). QEMU 11.1 no longer says it.
_GOES_ON: Final = "terminal does not allow synchronous migration, continuing detached\r\n"
# As hmp_migrate_status_cb there: QEMU looks at once, and then this often, until these states are over. It shows no failure.
_LOOK_AGAIN_S: Final = 1.0
_MIGRATING: Final = frozenset({"setup", "active"})


class Ending(Enum):
    """How a command ends, if not with a text and a prompt."""

    PASSWORD_PROMPT = auto()
    # QEMU quits after it.
    NO_PROMPT = auto()


def run(command: CommandEntered, *, has_descriptor: bool) -> Steps[str | Ending]:
    """Run a command, and return what it prints, or how it ends.

    has_descriptor: a descriptor has come that no `getfd` has taken. Send it with the Execute for which `takes_descriptor`.
    """
    try:
        text = command.line.decode()
    except UnicodeDecodeError:
        return _NOT_UTF_8
    line = HMPLine.read(text)
    reply = yield _about_descriptor(line, has_descriptor) or _by_hmp(command, text)
    output = _printed(reply)
    if output == _ASKS_FOR_PASSWORD:
        return Ending.PASSWORD_PROMPT
    if line.name in _QUIT and not output:
        return Ending.NO_PROMPT
    if line.name == "migrate" and _has_to_wait(line, output):
        yield from _migration()
    return output.removesuffix(_GOES_ON)


def set_password(password: bytes) -> Steps[str]:
    """Set the password that was asked for. As at QEMU's prompt, a failure is not shown."""
    yield Execute("change-vnc-password", {"password": password.decode(errors="replace")})
    return ""


def takes_descriptor(execute: Execute) -> bool:
    return execute.command == "getfd"


def _by_hmp(command: CommandEntered, text: str) -> Execute:
    arguments: dict[str, str | int] = {"command-line": text}
    if command.cpu_index is not None:
        arguments["cpu-index"] = command.cpu_index
    return Execute("human-monitor-command", arguments)


def _about_descriptor(line: HMPLine, has_descriptor: bool) -> Execute | None:
    """Return QMP's command for a line about a passed descriptor; None for any other, which human-monitor-command can run."""
    words = [word.decode(errors="replace") for word in split_words(line.arguments.encode()) or ()]
    if line.name == "migrate" and words[:1] == ["-d"]:
        del words[0]
    match line.name, words:
        case "getfd", [name] if has_descriptor:
            return Execute("getfd", {"fdname": name})
        case "closefd", [name]:
            return Execute("closefd", {"fdname": name})
        case "migrate", [uri] if uri.startswith("fd:"):
            return Execute("migrate", {"uri": uri})
    return None


def _printed(reply: Reply | None) -> str:
    """Return the text to print. QMP's own commands return {} here, and their errors have the words of HMP."""
    match reply:
        case ReturnReply(str(text)):
            return text
        case ErrorReply(desc=desc):
            return f"Error: {desc}\r\n"
    assert isinstance(reply, ReturnReply)
    assert reply.value == {}, "no text"
    return ""


def _has_to_wait(line: HMPLine, output: str) -> bool:
    """Return whether a `migrate` without -d has begun. If QEMU does not say so, look for the -d, which comes first."""
    return output.endswith(_GOES_ON) or not (output or line.arguments.startswith("-d"))


def _migration() -> Steps[None]:
    """Wait for the end of a migration by polling, as QEMU does."""
    while True:
        reply = yield Execute("query-migrate")
        if isinstance(reply, ReturnReply) and reply.value.get("status", "active") in _MIGRATING:
            yield Pause(_LOOK_AGAIN_S)
        else:
            return

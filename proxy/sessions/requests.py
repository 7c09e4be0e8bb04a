"""What a client asks for, once its bytes are cut into commands: which are for QEMU unchanged, and which are for the proxy.

There is a type for each kind of command that is handled differently. Anything that is not recognised is a `Forward`: QEMU gets
the client's own bytes, and says what is wrong with them.

The kind is determined from the decoded message, never from its bytes: `human\u002dmonitor-command`, single quotes, and the same
words inside a string would deceive a comparison of bytes. An HMP line is parsed once, here, and passed on as a value.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from proxy.qmp_json.extent import TOO_MANY_BYTES, TOO_MANY_TOKENS
from proxy.qmp_json.framing import Command
from proxy.qmp_json.shorten import may_stand_for_more
from proxy.sessions.negotiation import envelope_error
from shim.decisions.own_commands import OWN_COMMANDS
from shim.graph.unplugs import UNPLUG
from shim.hmp.line import HMPLine
from shim.hmp.snapshot_commands import is_modern
from shim.qmp import JSON, decode

if TYPE_CHECKING:  # see shim.rules.permissions
    from shim.rules.rules import Verdict

__all__ = [
    "CHEAP_BYTES",
    "Asking",
    "Carrier",
    "Denied",
    "Descriptors",
    "Forward",
    "HMPRequest",
    "JobsRequest",
    "LocalReply",
    "ModernRequest",
    "OutOfBand",
    "OwnRequest",
    "Request",
    "UnplugRequest",
    "Unrecorded",
    "command_of",
    "excess",
    "read_request",
    "takes_descriptors",
]

# Encoding 3000 tokens takes 9 ms, and the deepest value that QEMU accepts has fewer. No command of CHEAP_BYTES has more.
_MOST_SPELLED_TOKENS = 3000
CHEAP_BYTES = 2048
_BEFORE_TOKENS = (b"[", b"{", b",", b":")
# File descriptors that came with a message (unix(7), SCM_RIGHTS).
Descriptors: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Carrier:
    """A command that takes the file descriptors that came with it."""

    command: Command
    descriptors: Descriptors


_HMP_ARGUMENTS = frozenset({"command-line", "cpu-index"})
_ENVELOPE = frozenset({"execute", "arguments", "id"})


@dataclass(frozen=True, slots=True)
class Forward:
    """A command whose bytes go to QEMU, and whose reply goes to the client, both unchanged.

    execute: the command's name, "" if it has none or that is not a string.
    takes_descriptors: it is `getfd` or `add-fd`. These wait for each other even where no descriptor came with one, because QEMU
    would give it a descriptor that it has already read for the next.
    """

    raw: bytes
    descriptors: Descriptors = ()
    takes_descriptors: bool = False
    execute: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class JobsRequest:
    """A `query-jobs`: forwarded, but the shim's own jobs are taken out of the reply."""

    raw: bytes
    execute: ClassVar[str] = "query-jobs"
    takes_descriptors: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class UnplugRequest:
    """A `device_del`: forwarded, and noted (shim/graph/unplugs.py). device: an id or a QOM path."""

    raw: bytes
    device: str
    execute: ClassVar[str] = UNPLUG
    takes_descriptors: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class ModernRequest:
    """One of QMP's own snapshot commands: forwarded, and put on record."""

    raw: bytes
    message: dict[str, JSON]
    execute: str
    takes_descriptors: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """A command that the proxy answers itself (shim/decisions/own_commands.py), with arguments that may be wrong."""

    message: dict[str, JSON]
    execute: str
    takes_descriptors: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class OutOfBand:
    """An `exec-oob` (qmp-spec.rst, "Out-of-band execution").

    message: the command, with the client's id if it has one. raw_bytes: how long it was.
    """

    message: dict[str, JSON]
    raw_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LocalReply:
    """The answer that QEMU would give to what must not reach it."""

    line: bytes
    takes_descriptors: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class HMPRequest:
    """A `human-monitor-command`.

    line: None if there is no command line that is a string; QEMU will say so.
    """

    raw: bytes
    message: dict[str, JSON]
    line: HMPLine | None = None
    cpu_index: int | None = None
    execute: ClassVar[str] = "human-monitor-command"
    takes_descriptors: ClassVar[bool] = False


# What goes to QEMU as it is, without a record.
Unrecorded: TypeAlias = Forward | JobsRequest | UnplugRequest
Asking: TypeAlias = Unrecorded | HMPRequest | ModernRequest | OwnRequest


@dataclass(frozen=True, slots=True)
class Denied:
    """A command that the rules deny (shim/rules/rules.py). line: the answer. request: what it would have been."""

    line: bytes
    request: Asking
    verdict: "Verdict"
    takes_descriptors: ClassVar[bool] = False


Request: TypeAlias = Asking | LocalReply | Denied


def read_request(command: Command, descriptors: Descriptors) -> Asking:
    """Return what an in-band command of a client that has negotiated asks for. descriptors: those that go with it."""
    message, raw = command.message, command.raw
    execute = message.get("execute")
    if execute == "human-monitor-command" and message.keys() <= _ENVELOPE:
        given = message.get("arguments")
        arguments: dict[str, JSON] = given if isinstance(given, dict) else {}
        text, cpu_index = arguments.get("command-line"), arguments.get("cpu-index")
        if not isinstance(text, str):
            return HMPRequest(raw, message)
        line = HMPLine.read(text)
        # QEMU refuses a command with an argument too many, or with one of the wrong type.
        if arguments.keys() <= _HMP_ARGUMENTS and (type(cpu_index) is int or "cpu-index" not in arguments):
            return HMPRequest(raw, message, line, cpu_index)
        return HMPRequest(raw, message, line.not_parsed())
    if execute == "query-jobs":
        return JobsRequest(raw)
    if execute == UNPLUG and isinstance(given := message.get("arguments"), dict) and isinstance(given.get("id"), str):
        return UnplugRequest(raw, given["id"])
    name = execute if isinstance(execute, str) else ""
    if name in OWN_COMMANDS and envelope_error(message) is None:
        return OwnRequest(message, name)
    if is_modern(message):
        return ModernRequest(raw, message, name)
    return Forward(raw, descriptors, takes_descriptors(message), name)


def command_of(request: Asking) -> Command:
    """Return the command from which a request was read."""
    if isinstance(request, Unrecorded):
        return Command(request.raw, decode(request.raw))
    return Command(b"" if isinstance(request, OwnRequest) else request.raw, request.message)


def excess(command: Command, *, is_answered: bool = False) -> str | None:
    """Return QEMU's error if a command is too long for the proxy, else None. Only one over CHEAP_BYTES can be too long.

    A command that the proxy looks into must be known whole, and where the proxy answers a command (`is_answered`), so must its
    id. What the proxy encodes anew, an id in its own answers or an out-of-band command, costs 3 µs for each token; nearly every
    id has just one.
    """
    message, raw = command.message, command.raw
    execute = message.get("execute")
    is_out_of_band = "exec-oob" in message
    if command.is_cut:
        is_looked_into = is_out_of_band or execute == "human-monitor-command" or execute in OWN_COMMANDS or is_modern(message)
        is_spelled_wrong = is_answered and may_stand_for_more(message.get("id"))
        return TOO_MANY_BYTES if is_looked_into or is_spelled_wrong else None
    is_spelled = is_out_of_band or isinstance(message.get("id"), dict | list)
    return TOO_MANY_TOKENS if is_spelled and sum(map(raw.count, _BEFORE_TOKENS)) > _MOST_SPELLED_TOKENS else None


def takes_descriptors(message: dict[str, JSON]) -> bool:
    """Return whether QEMU would take a descriptor for this command (monitor/fds.c).

    HMP's `getfd` never finds one, because a human-monitor-command has no character device (seen in 5.2 to 11.1). Nor does a
    command that is refused because it has both keys.
    """
    return message.get("execute") in ("getfd", "add-fd") and "exec-oob" not in message

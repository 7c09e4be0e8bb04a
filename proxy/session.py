"""One client of the proxy, without I/O: its negotiation, the order of its commands, and which of them are for the shim.

QEMU's answers to a client that has not negotiated are given here (qmp-spec.rst, "Capabilities Negotiation"); after that only
`human-monitor-command` and `query-jobs` are looked into. Nothing here knows of other clients.
"""

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

from proxy.framing import Command, CommandFramer, Malformed
from shim import hmp
from shim.audit import Client
from shim.qmp import JSON, encode

__all__ = ["Forward", "HMPRequest", "JobsRequest", "LocalReply", "Request", "Session", "reply_line"]

_CAPABILITIES = frozenset({"oob"})
_HMP_ARGUMENTS = frozenset({"command-line", "cpu-index"})
_ENVELOPE = frozenset({"execute", "arguments", "id"})


@dataclass(frozen=True, slots=True)
class Forward:
    """QEMU is to get these bytes, and the client its answer as it comes."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class JobsRequest:
    """A `query-jobs`: forwarded, but the shim's own jobs are left out of the answer."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class LocalReply:
    """QEMU's answer to what must not reach it."""

    line: bytes


@dataclass(frozen=True, slots=True)
class HMPRequest:
    """A `human-monitor-command`.

    command_line: None if the arguments are not those of the schema; QEMU will say so.
    command: what the shim can do itself, else None.
    has_id, id: the client's id, to be given back.
    """

    raw: bytes
    command_line: str | None
    command: hmp.HMPCommand | None
    cpu_index: int | None
    has_id: bool
    id: JSON

    @property
    def why_passed(self) -> str:
        """Say why QEMU gets it, where there is no `command`."""
        if self.command_line is None:
            return "the arguments are not those of human-monitor-command"
        return "not exactly one well-formed savevm, loadvm, delvm or info snapshots"


Request: TypeAlias = Forward | JobsRequest | LocalReply | HMPRequest


def reply_line(members: dict[str, JSON], message: JSON = None) -> bytes:
    """Spell a reply as QEMU does, with the id of the client's message: last in a success, first in an error."""
    if isinstance(message, dict) and "id" in message:
        client_id = {"id": message["id"]}
        members = client_id | members if "error" in members else members | client_id
    return encode(members).encode("ascii") + b"\r\n"


def _error(desc: str, message: JSON = None, *, error_class: str = "GenericError") -> LocalReply:
    return LocalReply(reply_line({"error": {"class": error_class, "desc": desc}}, message))


class Session:
    """What the proxy knows of one client.

    After `receive_data` or `receive_eof`, take requests with `next_request` until it gives None; it does so too while a
    rewritten command runs (`is_busy`), because what a client sends behind it waits for it. What is to be written to the client
    collects until `data_to_send` is called.
    """

    def __init__(self, client: Client, greeting: bytes) -> None:
        self.client = client
        self.is_negotiated = False
        # A rewritten command of this client is running.
        self.is_busy = False
        # Forwarded commands that QEMU has not answered yet.
        self.unanswered = 0
        # The client closed its end, or both: it may still read, so what it asked for goes on.
        self.has_left = False
        # Nothing can be written any more.
        self.is_cut = False
        self._framer = CommandFramer()
        self._inbox: deque[Command | Malformed] = deque()
        self._outgoing: list[bytes] = [greeting]

    @property
    def is_finished(self) -> bool:
        """Tell whether the client left and all that it asked for is done."""
        return self.has_left and not self.is_busy and not self.unanswered and not self._inbox

    @property
    def backlog(self) -> int:
        """Count the commands that wait behind a rewritten one."""
        return len(self._inbox)

    def receive_data(self, data: bytes) -> None:
        self._inbox.extend(self._framer.receive_data(data))

    def receive_eof(self) -> None:
        """Note that the client sends no more. Half an object is dropped, as QEMU does."""
        self.has_left = True

    def cut(self) -> None:
        """Note that the client is gone for good: what is written to it from now on is thrown away."""
        self.has_left = self.is_cut = True
        self._outgoing.clear()

    def send(self, data: bytes) -> None:
        if not self.is_cut:
            self._outgoing.append(data)

    def data_to_send(self) -> bytes:
        """Take what is to be written to the client."""
        if len(self._outgoing) == 1:
            return self._outgoing.pop()
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def next_request(self) -> Request | None:
        """Take the next thing to do for this client, or None."""
        if self.is_busy or not self._inbox:
            return None
        item = self._inbox.popleft()
        if isinstance(item, Malformed):
            return _error(item.desc)
        if not self.is_negotiated:
            return self._negotiate(item.message)
        command = item.message.get("execute")
        if command == "human-monitor-command" and item.message.keys() <= _ENVELOPE:
            return _hmp_request(item)
        return JobsRequest(item.raw) if command == "query-jobs" else Forward(item.raw)

    def _negotiate(self, message: dict[str, JSON]) -> LocalReply:
        desc = _envelope_error(message)
        if desc is not None:
            return _error(desc, message)
        if message["execute"] != "qmp_capabilities":
            text = "Expecting capabilities negotiation with 'qmp_capabilities'"
            return _error(text, message, error_class="CommandNotFound")
        desc = _capabilities_error(message.get("arguments", {}))
        if desc is not None:
            return _error(desc, message)
        self.is_negotiated = True
        return LocalReply(reply_line({"return": {}}, message))


def _envelope_error(message: dict[str, JSON]) -> str | None:
    """Say what qmp_dispatch_check_obj() of QEMU's qapi/qmp-dispatch.c finds wrong with a command, or None."""
    for key, value in message.items():
        if key == "execute":
            if not isinstance(value, str):
                return "QMP input member 'execute' must be a string"
        elif key == "arguments":
            if not isinstance(value, dict):
                return "QMP input member 'arguments' must be an object"
        elif key != "id":
            return f"QMP input member '{key}' is unexpected"
    return None if "execute" in message else "QMP input lacks member 'execute'"


def _capabilities_error(arguments: dict[str, JSON]) -> str | None:
    """Check the arguments of `qmp_capabilities` (qapi/control.json)."""
    enable = arguments.get("enable", [])
    if not isinstance(enable, list):
        return "Invalid parameter type for 'enable', expected: array"
    for number, capability in enumerate(enable):
        if not isinstance(capability, str):
            return f"Invalid parameter type for 'enable[{number}]', expected: string"
        if capability not in _CAPABILITIES:
            return f"Parameter 'enable[{number}]' does not accept value '{capability}'"
    unexpected = next((key for key in arguments if key != "enable"), None)
    return None if unexpected is None else f"Parameter '{unexpected}' is unexpected"


def _hmp_request(item: Command) -> HMPRequest:
    given = item.message.get("arguments")
    arguments: dict[str, JSON] = given if isinstance(given, dict) else {}
    has_id, client_id = "id" in item.message, item.message.get("id")
    command_line = arguments.get("command-line")
    if not isinstance(command_line, str):
        return HMPRequest(item.raw, None, None, None, has_id, client_id)
    cpu_index = arguments.get("cpu-index")
    is_well_formed = arguments.keys() <= _HMP_ARGUMENTS and (type(cpu_index) is int or "cpu-index" not in arguments)
    command = hmp.parse(command_line) if is_well_formed else None
    return HMPRequest(item.raw, command_line, command, cpu_index, has_id, client_id)

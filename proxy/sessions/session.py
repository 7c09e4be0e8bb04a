"""One client of the proxy, without I/O: its negotiation, the order of its commands, and what is still due to it.

QEMU's answers to a client that has not negotiated are given here (qmp-spec.rst, "Capabilities Negotiation"); after that only
what the shim does, out-of-band commands, and commands that take a file descriptor are told from the rest. Nothing here knows
of other clients.

Three things make up what a session is at a moment, and each has its methods:

* How far the client has come: its state, which changes as session_state.py's table says.
* How many answers are due to it: `owe` for each command that goes to QEMU, `settle` for each reply that comes back. An answer
  of ours counts too while it stands in line after one of QEMU's.
* Whether a command of it runs that its later ones wait for, because the proxy carries it out in several steps: `wait` and
  `release`.

Its socket may be closed when it has left and none of this is open: one that half-closes after its last command still reads.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.qmp_json.framing import Command, CommandFramer, Malformed
from proxy.qmp_json.messages import MonitorFormat, generic_error
from proxy.sessions.allowance import Allowance
from proxy.sessions.inbox import Inbox, Item
from proxy.sessions.limits import SessionLimits
from proxy.sessions.monitor import Monitor
from proxy.sessions.negotiation import refusal
from proxy.sessions.requests import (
    CHEAP_BYTES,
    Carrier,
    Denied,
    Descriptors,
    LocalReply,
    Request,
    command_of,
    excess,
    read_request,
)
from proxy.sessions.session_state import State, Step, next_state
from proxy.sessions.window import Window
from shim.client import Client
from shim.hmp.line import HMPLine
from shim.qmp import JSON, ErrorReply, Reply, ReturnReply, decode, read_reply, reply_members
from shim.records.audit import has_failed

if TYPE_CHECKING:  # see shim.rules.permissions
    from shim.rules.rules import ClientRules

__all__ = ["Session"]

# On the way of each message: a look at a member through its class takes longer than the comparison.
_NEGOTIATING, _OPEN, _LEFT, _CUT = State.NEGOTIATING, State.OPEN, State.LEFT, State.CUT


class Session:
    """What the proxy knows of one client.

    What it sent goes into its `inbox`; take the `out_of_band` of that, and `next_request` while it `has_input`. That returns
    nothing while a command of this client runs that the others wait for (`is_busy`), and where reading a step further gave
    nothing whole. A request that cannot be begun yet is put back. What is to be written to the client collects until
    `data_to_send` is called.

    The attributes are for reading; each is changed by a method here.
    """

    def __init__(
        self,
        client: Client,
        monitor: Monitor,
        monitor_format: MonitorFormat,
        is_gone: Callable[[], bool] | None = None,
        limits: SessionLimits = SessionLimits(),  # noqa: B008 - immutable
    ) -> None:
        self.client = client
        # Describes the client as it is when a command of it is put on record. It may take a look at the machine.
        self.look_again: Callable[[Client], Client] = _as_it_connected
        # Tells whether the client will not read what is sent to it.
        self.is_gone: Callable[[], bool] = is_gone or _is_there
        # It is told the failure of a rewritten command by a QMP error, and not by HMP's text in a return.
        self.errors_in_qmp = False
        # Which commands it may send.
        self.allowance = Allowance(monitor_format)
        # The last HMP command's line, if it failed, only the text of the reply said so, and nothing came after it yet.
        self.failed_command: str | None = None
        # It sends no more.
        self.has_left = False
        # It is our prompt: a person is shown each failure, and `help` is the program's own question.
        self.is_prompt = False
        # A command runs that the later ones wait for: see `wait`.
        self.is_busy = False
        # Why nothing more of it is begun, once that is so.
        self.abandoned: str | None = None
        self._state = State.NEGOTIATING
        # How many of its commands QEMU has not answered yet, and answers of ours that wait for QEMU's: see `owe`.
        self.unanswered = 0
        self.owed_count = 0  # of all that it was owed so far
        # Of these answers of ours.
        self.waiting_bytes = 0
        self._monitor = monitor
        self._format = monitor_format
        self._has_negotiated = False
        self._is_oob_enabled = False
        # What it has sent and is not begun yet.
        self._framer = CommandFramer(monitor.version, limits.value)
        self.inbox = Inbox(self._framer)
        # How many of its commands QEMU may have to do at a time.
        self.window = Window(limits.commands)
        self._outgoing: list[bytes] = [monitor.greeting]

    # How far it has come.

    @property
    def state(self) -> State:
        return self._state

    @property
    def is_negotiated(self) -> bool:
        """Tell whether its commands go to QEMU, and QEMU's events to it."""
        return self._state is _OPEN or self._state is _LEFT

    @property
    def is_finished(self) -> bool:
        """Tell whether the client left and all that it asked for is done."""
        return self.has_left and not self.is_busy and not self.unanswered and not self.inbox.has_input

    @property
    def hears_end_of_file(self) -> bool:
        """Tell whether the end of what the client sends is its leaving: with OOB enabled QEMU sees it at once, and hangs up."""
        return self._is_oob_enabled

    def _move(self, step: Step) -> None:
        self._state = next_state(self._state, step)
        self.has_left = self._state is not _OPEN and self._state is not _NEGOTIATING

    # What is due to it.

    def owe(self, count: int = 1) -> None:
        """Note that so many more answers are due."""
        self.unanswered += count
        self.owed_count += count

    def settle(self) -> None:
        """Note that an answer has come that was due."""
        self.unanswered -= 1

    def wait(self) -> None:
        """Have `next_request` return nothing until `release`: a command has begun that the later ones must wait for."""
        assert not self.is_busy, "two commands of one client at once"
        self.is_busy = True

    def release(self) -> None:
        """Let the commands go on that have waited."""
        assert self.is_busy, "nothing has waited"
        self.is_busy = False

    # What is known of the one who sends.

    def note_prompt(self) -> None:
        """Note that it has said that it is our prompt."""
        self.is_prompt = True

    def note_outcome(self, failed_command: str | None) -> None:
        """Note how its last HMP command ended. failed_command: its line, if that failed and only the reply's text says so."""
        self.failed_command = failed_command

    def as_told(self, line: HMPLine | None, reply: Reply) -> Reply:
        """Return a reply to an HMP command as this client is told of failures: in the text of a success, or as an error.

        Only those of the snapshot commands are told otherwise than natively: what became of all others QEMU alone knows.
        """
        if self.errors_in_qmp and line is not None and line.command is not None and isinstance(reply, ReturnReply):
            text = str(reply.value)
            return ErrorReply("GenericError", text.rstrip("\r\n")) if has_failed(line, text) else reply
        return reply

    def retell(self, line: HMPLine | None, raw: bytes, message: dict[str, JSON]) -> bytes:
        """Return QEMU's reply to an HMP command of this client as `as_told` says. message: the command."""
        reply = read_reply(decode(raw))
        told = self.as_told(line, reply)
        return raw if told is reply else self.spell_reply(reply_members(told), message)

    # What it sends.

    def count_plain(self, data: bytes, room: int) -> int:
        """Count the commands of `data` if all can go to QEMU as they are, at once, and are `room` or fewer; else return 0.

        Commands with arguments never can, and many have some, so look for that first.
        """
        if self._state is not _OPEN or self.is_busy or self.failed_command is not None or self.abandoned is not None:
            return 0
        if self.allowance.rules is not None and not self.allowance.allows_plain(data):
            return 0
        inbox = self.inbox
        return 0 if inbox.items or inbox.has_pieces or inbox.descriptors else self._framer.count_plain(data, room)

    def receive_eof(self) -> None:
        """Note that the client sends no more. Half an object is dropped, as QEMU does."""
        self._move(Step.SENDS_NO_MORE)

    def cut(self) -> Descriptors:
        """Note that the client is gone: what is written to it is thrown away. Return descriptors to close."""
        self._move(Step.CUT)
        self.is_gone = _has_gone
        self._outgoing.clear()
        return self.inbox.drop_descriptors()

    def send(self, data: bytes) -> None:
        if self._state is not _CUT:
            self._outgoing.append(data)

    def spell_reply(self, reply: dict[str, JSON], message: dict[str, JSON]) -> bytes:
        """Write a reply of ours as QEMU's monitor would write it to this client. message: the client's command."""
        return self._format.spell_reply(reply, message)

    def data_to_send(self) -> bytes:
        """Take what is to be written to the client."""
        if len(self._outgoing) == 1:
            return self._outgoing.pop()
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def next_request(self) -> Request | None:
        """Take the next thing to do for this client, or None. It is bounded in time: see Inbox.

        What an item asks for is read here and not when it comes, because the items before it may change that.
        """
        if self.is_busy:
            return None
        items = self.inbox.items
        return self._request(items.popleft() if items else self.inbox.take())

    def drop_request(self) -> Request | None:
        """Take the next request whether or not others go before it: none will be begun, and nobody is told of what is none."""
        return None if isinstance(item := self.inbox.take(), Malformed) else self._request(item)

    def _request(self, item: Item | None) -> Request | None:
        descriptors: Descriptors = ()
        match item:
            case Command() as command:
                pass
            case Carrier(command, descriptors):
                pass
            case Malformed(desc):
                return self._error(desc, {})
            case request:
                return request
        is_early = not self._has_negotiated
        if len(command.raw) > CHEAP_BYTES and (too_long := excess(command, is_answered=is_early)) is not None:
            self.inbox.unclaimed += descriptors
            return self._error(too_long, {})
        if is_early:
            self.inbox.keep_for_next(descriptors)
            return self._negotiate(command.message)
        if "exec-oob" in command.message and not self._is_oob_enabled:
            return self._error("QMP input member 'exec-oob' is unexpected", command.message)
        request = read_request(command, descriptors)
        return request if self.allowance.rules is None else self.allowance.judged(request, command)

    @property
    def rules(self) -> "ClientRules | None":
        """What decides which commands it may send; None for all. New ones judge anew what was put back."""
        return self.allowance.rules

    @rules.setter
    def rules(self, rules: "ClientRules | None") -> None:
        self.allowance.rules = rules
        items = self.inbox.items
        if items and not isinstance(items[0], Command | Malformed | Carrier | LocalReply | Denied):
            items[0] = self.allowance.judged(items[0], command_of(items[0]))

    def put_back(self, request: Request) -> None:
        """Have `next_request` return this one again: it cannot be begun yet."""
        self.inbox.put_back(request)

    def _negotiate(self, message: dict[str, JSON]) -> LocalReply:
        if (refused := refusal(message, self._monitor)) is not None:
            return LocalReply(self._format.spell_reply(refused, message))
        self._has_negotiated = True
        if self._state is not _CUT:  # else what it sent before is only gone through
            self._move(Step.NEGOTIATED)
        self._is_oob_enabled = "oob" in message.get("arguments", {}).get("enable", ())
        if self._is_oob_enabled:
            self.inbox.enable_out_of_band()
        return LocalReply(self._format.spell_reply({"return": {}}, message))

    def _error(self, desc: str, message: dict[str, JSON]) -> LocalReply:
        return LocalReply(self._format.spell_reply(generic_error(desc), message))


def _as_it_connected(client: Client) -> Client:
    return client


def _is_there() -> bool:
    return False


def _has_gone() -> bool:
    return True

"""One client of the proxy, without I/O: its negotiation, the order of its commands, and what is still due to it.

A client that has not negotiated gets QEMU's answers from here (qmp-spec.rst, "Capabilities Negotiation"). After that, only
commands that the shim handles, out-of-band commands, and commands that take a file descriptor are distinguished from the rest.
Nothing here knows other clients.

Three things make up the state of a session, and each has its methods:

* How far the client has come: its `state`, which changes according to session_state.py's table.
* How many answers are due to it: `owe` for each command that goes to QEMU, `settle` for each reply that comes back. An answer
  of ours counts, too, while it waits in line after one of QEMU's.
* Whether one of its commands runs that the later ones wait for, because the proxy carries it out in several steps: `wait` and
  `release`.

The socket may be closed once the client has left and nothing is due: one that half-closes after its last command still reads.
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

# Compared for each message: looking up a member through its class would take longer than the comparison.
_NEGOTIATING, _OPEN, _LEFT, _CUT = State.NEGOTIATING, State.OPEN, State.LEFT, State.CUT


class Session:
    """What the proxy knows about one client.

    Feed what it sends to its `inbox`; take the inbox's `out_of_band`, and call `next_request` while the inbox `has_input`. That
    returns None while one of the client's commands runs that the others wait for (`is_busy`), and when reading one more step
    found no whole command. Put back a request that cannot begin yet. What is to be written to the client collects until
    `data_to_send` is called.

    Most attributes are for reading; each of these is changed by a method here.
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
        # Describes the client as it is when one of its commands is put on record. It may look at the machine for that.
        self.look_again: Callable[[Client], Client] = _as_it_connected
        # Tells whether the client will not read what is sent to it.
        self.is_gone: Callable[[], bool] = is_gone or _is_there
        # Whether it gets the failure of an HMP snapshot command as a QMP error, not as HMP's text in a return.
        self.errors_in_qmp = False
        # Which commands it may send.
        self.allowance = Allowance(monitor_format)
        # The line of its last HMP command, if that failed, only the text of the reply said so, and no other command followed.
        self.failed_command: str | None = None
        # Whether it sends no more.
        self.has_left = False
        # Whether it is our prompt: a person is shown each failure there, and `help` is asked by the program itself.
        self.is_prompt = False
        # Whether a command runs that the later ones wait for: see `wait`.
        self.is_busy = False
        # Why nothing more of it begins; None while commands may begin.
        self.abandoned: str | None = None
        self._state = State.NEGOTIATING
        # How many of its commands QEMU has not answered yet, and answers of ours that wait for QEMU's: see `owe`.
        self.unanswered = 0
        self.owed_count = 0  # how many were owed since the counters were last fetched
        # The size of the answers of ours that wait.
        self.waiting_bytes = 0
        self._monitor = monitor
        self._format = monitor_format
        self._has_negotiated = False
        self._is_oob_enabled = False
        # What it has sent that has not begun.
        self._framer = CommandFramer(monitor.version, limits.value)
        self.inbox = Inbox(self._framer)
        # How many of its commands QEMU may have at a time.
        self.window = Window(limits.commands)
        self._outgoing: list[bytes] = [monitor.greeting]

    # How far it has come.

    @property
    def state(self) -> State:
        return self._state

    @property
    def is_negotiated(self) -> bool:
        """Whether its commands go to QEMU, and QEMU's events to it."""
        return self._state is _OPEN or self._state is _LEFT

    @property
    def is_finished(self) -> bool:
        """Whether the client has left and all that it asked for is done."""
        return self.has_left and not self.is_busy and not self.unanswered and not self.inbox.has_input

    @property
    def hears_end_of_file(self) -> bool:
        """Whether the client leaves when it half-closes: with OOB enabled QEMU sees that immediately, and hangs up."""
        return self._is_oob_enabled

    def _move(self, step: Step) -> None:
        self._state = next_state(self._state, step)
        self.has_left = self._state is not _OPEN and self._state is not _NEGOTIATING

    # What is due to it.

    def owe(self, count: int = 1) -> None:
        """Note that `count` more answers are due."""
        self.unanswered += count
        self.owed_count += count

    def settle(self) -> None:
        """Note that an answer that was due has come."""
        self.unanswered -= 1

    def wait(self) -> None:
        """Have `next_request` return None until `release`: a command has begun that the later ones must wait for."""
        assert not self.is_busy, "two commands of one client at once"
        self.is_busy = True

    def release(self) -> None:
        """Let the commands that have waited go on."""
        assert self.is_busy, "nothing has waited"
        self.is_busy = False

    # What is known about the client.

    def note_prompt(self) -> None:
        """Note that the client has identified itself as our prompt."""
        self.is_prompt = True

    def note_outcome(self, failed_command: str | None) -> None:
        """Note how its last command ended. failed_command: its HMP line, if it failed and only the reply's text says so."""
        self.failed_command = failed_command

    def as_told(self, line: HMPLine | None, reply: Reply) -> Reply:
        """Return a reply to an HMP command in the form in which this client gets failures: text in a return, or an error.

        Only replies to snapshot commands can become errors: whether another command has failed, QEMU alone knows.
        """
        if self.errors_in_qmp and line is not None and line.command is not None and isinstance(reply, ReturnReply):
            text = str(reply.value)
            return ErrorReply("GenericError", text.rstrip("\r\n")) if has_failed(line, text) else reply
        return reply

    def retell(self, line: HMPLine | None, raw: bytes, message: dict[str, JSON]) -> bytes:
        """Return QEMU's reply to an HMP command, converted as by `as_told`. message: the command."""
        reply = read_reply(decode(raw))
        told = self.as_told(line, reply)
        return raw if told is reply else self.spell_reply(reply_members(told), message)

    # What it sends.

    def count_plain(self, data: bytes, room: int) -> int:
        """Count the commands of `data` if all may go to QEMU unchanged, now, and are `room` or fewer; else return 0.

        Commands with arguments never may. As many commands have some, look for that before you call this.
        """
        if self._state is not _OPEN or self.is_busy or self.failed_command is not None or self.abandoned is not None:
            return 0
        if self.allowance.rules is not None and not self.allowance.allows_plain(data):
            return 0
        inbox = self.inbox
        return 0 if inbox.items or inbox.has_pieces or inbox.descriptors else self._framer.count_plain(data, room)

    def receive_eof(self) -> None:
        """Note that the client sends no more. Half a command is dropped, as by QEMU."""
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
        """Return a reply of ours as QEMU's monitor would write it to this client. message: the client's command."""
        return self._format.spell_reply(reply, message)

    def data_to_send(self) -> bytes:
        """Take what is to be written to the client."""
        if len(self._outgoing) == 1:
            return self._outgoing.pop()
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def next_request(self) -> Request | None:
        """Take the next request of this client; None if there is none now. This takes a bounded time: see Inbox.

        A command is interpreted here and not when it comes, because the commands before it may change what it means.
        """
        if self.is_busy:
            return None
        items = self.inbox.items
        return self._request(items.popleft() if items else self.inbox.take())

    def drop_request(self) -> Request | None:
        """Take the next request to drop it, even while the session is busy. Malformed input is dropped without an answer."""
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
        """The rules that say which commands it may send; None if all. Setting them judges a request that was put back anew."""
        return self.allowance.rules

    @rules.setter
    def rules(self, rules: "ClientRules | None") -> None:
        self.allowance.rules = rules
        items = self.inbox.items
        if items and not isinstance(items[0], Command | Malformed | Carrier | LocalReply | Denied):
            items[0] = self.allowance.judged(items[0], command_of(items[0]))

    def put_back(self, request: Request) -> None:
        """Have `next_request` return this request again, because it cannot begin yet."""
        self.inbox.put_back(request)

    def _negotiate(self, message: dict[str, JSON]) -> LocalReply:
        if (refused := refusal(message, self._monitor)) is not None:
            return LocalReply(self._format.spell_reply(refused, message))
        self._has_negotiated = True
        if self._state is not _CUT:  # if it is cut, what it has sent is only read to be dropped
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

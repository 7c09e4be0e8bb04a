"""One client of the proxy, without I/O: its negotiation, the order of its commands, and which of them are for the shim.

QEMU's answers to a client that has not negotiated are given here (qmp-spec.rst, "Capabilities Negotiation"); after that only
what the shim does, out-of-band commands, and commands that take a file descriptor are told from the rest. Nothing here knows
of other clients.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from proxy.qmp_json.framing import Command, CommandFramer, Malformed
from proxy.routing.messages import MonitorFormat
from proxy.routing.monitor import Monitor
from proxy.routing.negotiation import capabilities_error, envelope_error, is_out_of_band
from proxy.routing.requests import (
    Descriptors,
    HMPRequest,
    LocalReply,
    ModernRequest,
    OutOfBand,
    Request,
    read_request,
    takes_descriptors,
)
from shim import hmp
from shim.client import Client
from shim.qmp import JSON

__all__ = ["Session"]


@dataclass(frozen=True, slots=True)
class _Carrier:
    """A command that takes the file descriptors that came with it."""

    command: Command
    descriptors: Descriptors


_Item: TypeAlias = Command | Malformed | _Carrier


class Session:
    """What the proxy knows of one client.

    After `receive_data`, take `out_of_band` and `next_request` until they return nothing. `next_request` returns nothing while
    a command of this client runs that the others wait for (`is_busy`). A request that cannot be begun yet is put back. What is
    to be written to the client collects until `data_to_send` is called.
    """

    def __init__(
        self, client: Client, monitor: Monitor, monitor_format: MonitorFormat, is_gone: Callable[[], bool] | None = None
    ) -> None:
        self.client = client
        # Describes the client as it is when a command of it is put on record; None: it is as when it connected.
        self.look_again: Callable[[Client], Client] | None = None
        self._is_gone = is_gone
        self.is_negotiated = False
        # A command of this client runs that what it sent behind must wait for.
        self.is_busy = False
        # Commands of this client that QEMU has not answered yet, and answers of ours that wait for theirs.
        self.unanswered = 0
        # It has said that it is our prompt: a person is shown each failure, and `help` is the program's own question.
        self.is_prompt = False
        # The client's last HMP command, if it failed, only the text of the reply said so, and nothing came behind it yet.
        self.failed_command: str | None = None
        # The client sends no more. It may still read, so what it asked for goes on.
        self.has_left = False
        # Nothing can be written to the client any more.
        self.is_cut = False
        self._monitor = monitor
        self._format = monitor_format
        self._is_oob_enabled = False
        self._framer = CommandFramer(monitor.version)
        self._inbox: deque[_Item] = deque()
        self._put_back: Request | None = None
        self._out_of_band: list[OutOfBand] = []
        self._descriptors: Descriptors = ()
        self._outgoing: list[bytes] = [monitor.greeting]

    def is_gone(self) -> bool:
        """Tell whether the client will not read what is sent to it."""
        return self.is_cut or (self._is_gone is not None and self._is_gone())

    def client_now(self) -> Client:
        """Tell who the client is at the moment. It may take a look at the machine: ask for what is put on record only."""
        return self.client if self.look_again is None else self.look_again(self.client)

    @property
    def is_finished(self) -> bool:
        """Tell whether the client left and all that it asked for is done."""
        return self.has_left and not self.is_busy and not self.unanswered and not self.is_waiting

    @property
    def is_waiting(self) -> bool:
        """Tell whether a command has not been begun yet."""
        return bool(self._inbox) or self._put_back is not None

    @property
    def backlog(self) -> int:
        """Count the commands that have not been begun yet."""
        return len(self._inbox) + (self._put_back is not None)

    @property
    def hears_end_of_file(self) -> bool:
        """Tell whether the end of what the client sends is its leaving: with OOB enabled QEMU sees it at once, and hangs up."""
        return self._is_oob_enabled

    def receive_data(self, data: bytes, descriptors: Descriptors = ()) -> Descriptors:
        """Take what the client sent. Gives the descriptors that are to be closed, because nothing will take them."""
        items: Sequence[_Item] = self._framer.receive_data(data)
        dropped: Descriptors = ()
        if descriptors or self._descriptors:
            dropped = self._descriptors if descriptors else ()
            items = self._attach(items, descriptors or self._descriptors)
        if self._is_oob_enabled:
            items = self._divert_out_of_band(items)
        self._inbox.extend(items)
        return dropped

    def count_plain(self, data: bytes) -> int:
        """Count the commands of `data` if all can go to QEMU as they are, at once; else give 0."""
        if not self.is_negotiated or self.is_busy or self._descriptors or self.failed_command is not None or self.is_waiting:
            return 0
        return self._framer.count_plain(data)

    def receive_eof(self) -> None:
        """Note that the client sends no more. Half an object is dropped, as QEMU does."""
        self.has_left = True

    def cut(self) -> Descriptors:
        """Note that the client is gone for good: what is written to it is thrown away. Gives descriptors to close."""
        self.has_left = self.is_cut = True
        self._outgoing.clear()
        dropped, self._descriptors = self._descriptors, ()
        return dropped

    def drop_requests(self) -> list[Request]:
        """Take all that has not been begun and never will be."""
        self.is_busy, was_busy = False, self.is_busy
        requests = []
        while (request := self.next_request()) is not None:
            requests.append(request)
        self.is_busy = was_busy
        return requests

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

    def out_of_band(self) -> list[OutOfBand]:
        """Take the out-of-band commands: they overtake everything, also while the session is busy."""
        taken, self._out_of_band = self._out_of_band, []
        return taken

    def next_request(self) -> Request | None:
        """Take the next thing to do for this client, or None."""
        if self.is_busy:
            return None
        if self._put_back is not None:
            request, self._put_back = self._put_back, None
            return request
        if not self._inbox:
            return None
        item = self._inbox.popleft()
        if isinstance(item, Malformed):
            return self._error(item.desc, {})
        if isinstance(item, _Carrier):
            return self._command(item.command, item.descriptors)
        return self._command(item, ())

    def asks_for_own_help(self, request: HMPRequest | ModernRequest) -> bool:
        """Tell whether our prompt asks QEMU for help, for its own purposes, which is no use of HMP."""
        if not self.is_prompt or not isinstance(request, HMPRequest):
            return False
        return hmp.command_name(request.command_line or "") in ("help", "?")

    def put_back(self, request: Request) -> None:
        """Have `next_request` return this one again: it cannot be begun yet."""
        self._put_back = request

    def _command(self, item: Command, descriptors: Descriptors) -> Request:
        if not self.is_negotiated:
            self._descriptors = descriptors or self._descriptors
            return self._negotiate(item.message)
        if "exec-oob" in item.message and not self._is_oob_enabled:
            return self._error("QMP input member 'exec-oob' is unexpected", item.message)
        return read_request(item, descriptors)

    def _attach(self, items: Sequence[_Item], descriptors: Descriptors) -> list[_Item]:
        """Hand descriptors to the first command that takes some; until one comes, the session keeps them.

        So does QEMU's character device. The kernel ends a read behind the bytes that descriptors came with.
        """
        self._descriptors = descriptors
        attached: list[_Item] = []
        for item in items:
            if self._descriptors and isinstance(item, Command) and takes_descriptors(item.message):
                item, self._descriptors = _Carrier(item, self._descriptors), ()
            attached.append(item)
        return attached

    def _divert_out_of_band(self, items: Sequence[_Item]) -> list[_Item]:
        in_band: list[_Item] = []
        for item in items:
            if isinstance(item, Command) and is_out_of_band(item.message):
                self._out_of_band.append(OutOfBand(item.message))
            else:
                in_band.append(item)
        return in_band

    def _negotiate(self, message: dict[str, JSON]) -> LocalReply:
        desc = envelope_error(message)
        if desc is not None:
            return self._error(desc, message)
        if message["execute"] != "qmp_capabilities":
            text = "Expecting capabilities negotiation with 'qmp_capabilities'"
            return self._error(text, message, error_class="CommandNotFound")
        arguments = message.get("arguments", {})
        desc = capabilities_error(arguments, self._monitor)
        if desc is not None:
            return self._error(desc, message)
        self.is_negotiated = True
        self._is_oob_enabled = "oob" in arguments.get("enable", ())
        self._inbox = deque(self._divert_out_of_band(self._inbox)) if self._is_oob_enabled else self._inbox
        return LocalReply(self._format.spell_reply({"return": {}}, message))

    def _error(self, desc: str, message: dict[str, JSON], *, error_class: str = "GenericError") -> LocalReply:
        return LocalReply(self._format.spell_reply({"error": {"class": error_class, "desc": desc}}, message))

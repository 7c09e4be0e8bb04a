"""What a client has sent that has not begun, without I/O: kept as bytes, and read into commands as late as possible.

A client may send input that is expensive to read, or very many commands at once. So its bytes are cut into commands in steps,
each of a few milliseconds at most, and only when the next command is wanted. Until then a command costs only its bytes.

Out-of-band commands are the exception: they overtake, so some of what comes before them has to be read to find them. QEMU
itself reads eight commands ahead, and no further (monitor/qmp.c, QMP_REQ_QUEUE_LEN_MAX).
"""

from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from proxy.qmp_json.framing import Command, CommandFramer, Malformed
from proxy.qmp_json.items import Begun
from proxy.qmp_json.limits import Limits
from proxy.sessions.negotiation import is_out_of_band
from proxy.sessions.requests import (
    Carrier,
    Descriptors,
    Forward,
    HMPRequest,
    LocalReply,
    OutOfBand,
    Request,
    excess,
    takes_descriptors,
)

__all__ = ["Inbox", "Item"]

# The requests among them are those that were put back.
Item: TypeAlias = Command | Malformed | Carrier | Request

# How far to look for out-of-band commands behind commands that wait: in commands, in bytes, and below in steps at a time.
_MOST_READ_AHEAD = 1000
_MOST_READ_AHEAD_BYTES = 1024 * 1024
# How many of the commands that wait may have descriptors, which stay open meanwhile.
_MOST_CARRIERS = 8
_STEPS_AHEAD = 2
_OTHER_ITEM_BYTES = 100


class Inbox:
    """The pieces that a client has sent, in order, and the items that were read from them.

    Call `take` while `has_input`; it returns None if a step was read in which no command ended. The caller may also take from
    the left of `items` directly. The commands in `out_of_band` go before all others; call `read_ahead` while `looks_ahead` to
    find more of them. steps: how many have been read so far.
    """

    def __init__(self, framer: CommandFramer) -> None:
        self._framer = framer
        self._pieces: deque[tuple[bytes, Descriptors]] = deque()
        # Items that were read and not taken.
        self.items: deque[Item] = deque()
        # Whether there are bytes that have not been read.
        self.has_pieces = False
        # Whether these may be read now.
        self.is_unread = False
        # Descriptors that wait for a command that takes them.
        self.descriptors: Descriptors = ()
        self._piece_bytes = 0  # of the piece that is being read
        self.steps = 0
        self._is_oob_enabled = False
        # Commands that overtake all the others.
        self.out_of_band: list[OutOfBand] = []
        self._has_had_descriptors = False
        # Descriptors that no command will take, because others have come since.
        self.unclaimed: list[int] = []

    @property
    def has_input(self) -> bool:
        """Whether there are items to take, or bytes that may become some."""
        return self.has_pieces or bool(self.items)

    @property
    def begun(self) -> Begun | None:
        """The part of a command that has come, if nothing else is left here; None if another inbox cannot go on from that."""
        return None if self.has_input or self.out_of_band or self.unclaimed else self._framer.begun

    @property
    def wants_more(self) -> bool:
        """Whether to go on reading from the client.

        A client with OOB is read even while its commands wait, as QEMU does it: some may overtake, and it may hang up.
        """
        if self._is_oob_enabled:
            most = max(len(self.items), len(self.out_of_band))
            if most >= _MOST_READ_AHEAD or self.has_pieces or len(self._carriers) >= _MOST_CARRIERS:
                return False
            # A command that has come in part is read to its end, however long it is: else the client would never be read again.
            return self.kept_bytes - self._framer.held_bytes < _MOST_READ_AHEAD_BYTES
        return not self.has_input

    @property
    def looks_ahead(self) -> bool:
        """Whether reading on now may find out-of-band commands."""
        return self._is_oob_enabled and self.is_unread and len(self.items) < _MOST_READ_AHEAD

    @property
    def kept_bytes(self) -> int:
        """The bytes kept here: pieces not read to their end, commands that wait, and the part of a command that has come."""
        pieces = sum(len(data) for data, _ in self._pieces) + (self._piece_bytes if self._framer.has_input else 0)
        waiting = sum(map(_size, self.items)) + sum(command.raw_bytes for command in self.out_of_band)
        return pieces + waiting + self._framer.held_bytes

    @property
    def descriptor_count(self) -> int:
        """How many descriptors are open for this client: those that wait for a command, or with one."""
        waiting = sum(len(numbers) for _, numbers in self._pieces) + sum(len(carrier.descriptors) for carrier in self._carriers)
        return len(self.unclaimed) + len(self.descriptors) + waiting

    @property
    def _carriers(self) -> list[Carrier | Forward]:
        """The items that have descriptors."""
        if not self._has_had_descriptors:
            return []
        return [item for item in self.items if isinstance(item, Carrier | Forward) and item.descriptors]

    def begin_at(self, begun: Begun) -> None:
        """Go on with a stream that another inbox has begun to read. The data of `begun` still have to be received."""
        self._framer.begin_at(begun)

    @property
    def most_command_bytes(self) -> int:
        """The maximum length of the command that has come in part."""
        return self._framer.value.most_bytes

    def limit(self, limits: Limits) -> None:
        """Apply other limits to the commands that come next; one that has come in part keeps its own."""
        self._framer.value.coming = limits

    def receive_data(self, data: bytes, descriptors: Descriptors = ()) -> None:
        """Take what the client sent."""
        self._pieces.append((data, descriptors))
        if len(self._pieces) > 1 or self.items or self._framer.has_input:
            self._look()
        else:
            self._read_on()
        if self._is_oob_enabled:
            self.read_ahead()

    def read_ahead(self) -> None:
        """Look for out-of-band commands, a few steps further."""
        for _ in range(_STEPS_AHEAD):
            if self.looks_ahead:
                self._read_on()

    def take(self) -> Item | None:
        """Take the next item. None may only mean that a step was read in which no item ended: see `has_input`."""
        if not self.items and self.is_unread:
            self._read_on()
        return self.items.popleft() if self.items else None

    def put_back(self, item: Item) -> None:
        """Have `take` return this one again."""
        self.items.appendleft(item)

    def enable_out_of_band(self) -> None:
        """Let out-of-band commands overtake from now on, including those that have come already."""
        self._is_oob_enabled = True
        self.items = deque(self._divert(self.items))
        self.read_ahead()

    def take_out_of_band(self, most: int) -> list[OutOfBand]:
        """Take the next out-of-band commands, `most` at most."""
        taken, self.out_of_band = self.out_of_band[:most], self.out_of_band[most:]
        self._look()
        return taken

    def drop_order(self) -> None:
        """Let nothing overtake any more, and drop the out-of-band commands: what is left is only read to be dropped."""
        self._is_oob_enabled = False
        self.out_of_band.clear()
        self._look()

    def keep_for_next(self, descriptors: Descriptors) -> None:
        """Keep descriptors for a later command, because this one was answered here and did not take them."""
        self.descriptors = descriptors or self.descriptors

    def take_unclaimed(self) -> list[int]:
        """Take the descriptors that are to be closed."""
        taken, self.unclaimed = self.unclaimed, []
        return taken

    def drop_descriptors(self) -> Descriptors:
        """Take the descriptors that no command has taken, because nothing more will begin."""
        dropped = (*self.take_unclaimed(), *self.descriptors, *(number for _, numbers in self._pieces for number in numbers))
        self.descriptors = ()
        self._pieces = deque((data, ()) for data, _ in self._pieces)
        return dropped

    def _read_on(self) -> None:
        """Read one more step."""
        self.steps += 1
        items: Sequence[Item]
        if self._framer.has_input:
            items = self._framer.read()
        else:
            data, descriptors = self._pieces.popleft()
            self._piece_bytes = len(data)
            if descriptors:
                self._has_had_descriptors = True
                self.unclaimed += self.descriptors
                self.descriptors = descriptors
            items = self._framer.feed(data)
        if self.descriptors:
            items = self._attach(items)
        self.items.extend(self._divert(items) if self._is_oob_enabled else items)
        if self._pieces or self._framer.has_input or self.has_pieces:
            self._look()

    def _look(self) -> None:
        """Update `has_pieces` and `is_unread`: nothing more is read while very many out-of-band commands wait."""
        is_full = len(self.out_of_band) >= _MOST_READ_AHEAD
        self.has_pieces = self._framer.has_input or bool(self._pieces)
        self.is_unread = self.has_pieces and not is_full

    def _attach(self, items: Sequence[Item]) -> list[Item]:
        """Attach descriptors to the first command that takes some; until one comes, they are kept.

        QEMU's character device does the same. The kernel ends a read after the bytes that descriptors came with.
        """
        attached: list[Item] = []
        for item in items:
            if self.descriptors and isinstance(item, Command) and takes_descriptors(item.message):
                item, self.descriptors = Carrier(item, self.descriptors), ()
            attached.append(item)
        return attached

    def _divert(self, items: Sequence[Item]) -> list[Item]:
        in_band: list[Item] = []
        for item in items:
            # One that is too long is answered in-band, because it would have to be encoded anew with an id of ours.
            if isinstance(item, Command) and is_out_of_band(item.message) and excess(item) is None:
                self.out_of_band.append(OutOfBand(item.message, len(item.raw)))
            else:
                in_band.append(item)
        return in_band


def _size(item: Item) -> int:
    """Return roughly how many bytes an item takes."""
    match item:
        case Command(raw) | Carrier(Command(raw)) | Forward(raw) | HMPRequest(raw):
            return len(raw)
        case LocalReply(line):
            return len(line)
    return _OTHER_ITEM_BYTES

"""What a client has sent and is not begun yet, without I/O: bytes first, and requests as late as possible.

A client may send what costs much to read, or very many commands at once. So its bytes are cut into commands in steps, each
of a few milliseconds at most, and only when the next command is wanted. Until then a command costs the bytes that it has.

Out-of-band commands are the exception: they overtake, so some of what stands before them has to be read to find them. QEMU
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

# A request among them was put back.
Item: TypeAlias = Command | Malformed | Carrier | Request

# How far out-of-band commands are looked for behind commands that wait, and how far at a time.
_MOST_READ_AHEAD = 1000
_MOST_READ_AHEAD_BYTES = 1024 * 1024
# So many of them may have descriptors, each of which is open in the meantime.
_MOST_CARRIERS = 8
_STEPS_AHEAD = 2
_OTHER_ITEM_BYTES = 100


class Inbox:
    """The pieces that a client sent, in their order, and what was read of them.

    Call `take` while it `has_input`; None means that a step was read in which nothing ended. The `items` that were read may be
    taken from their left directly. The commands `out_of_band` go before all others; call `read_ahead` while it `looks_ahead`
    for more of them. steps: how many were read so far.
    """

    def __init__(self, framer: CommandFramer) -> None:
        self._framer = framer
        self._pieces: deque[tuple[bytes, Descriptors]] = deque()
        # What was read and not taken.
        self.items: deque[Item] = deque()
        # There are bytes that were not read.
        self.has_pieces = False
        # They can be read on now.
        self.is_unread = False
        # Those that wait for a command which takes them.
        self.descriptors: Descriptors = ()
        self._piece_bytes = 0  # of the one that is being read
        self.steps = 0
        self._is_oob_enabled = False
        # Commands that overtake all others.
        self.out_of_band: list[OutOfBand] = []
        self._has_had_descriptors = False
        # Descriptors that no command will take: others have come since.
        self.unclaimed: list[int] = []

    @property
    def has_input(self) -> bool:
        """Tell whether there is more to take, or bytes that may be more."""
        return self.has_pieces or bool(self.items)

    @property
    def begun(self) -> Begun | None:
        """What has come of a command without an end, where nothing else is left. None where another inbox cannot go on so."""
        return None if self.has_input or self.out_of_band or self.unclaimed else self._framer.begun

    @property
    def wants_more(self) -> bool:
        """Tell whether its client is to be read on.

        One with OOB is, as by QEMU, although commands of it wait: for what overtakes them, and for the end of what it sends.
        """
        if self._is_oob_enabled:
            most = max(len(self.items), len(self.out_of_band))
            if most >= _MOST_READ_AHEAD or self.has_pieces or len(self._carriers) >= _MOST_CARRIERS:
                return False
            # A command that has begun is read to its end, however long: nothing else would have its client read on.
            return self.kept_bytes - self._framer.held_bytes < _MOST_READ_AHEAD_BYTES
        return not self.has_input

    @property
    def looks_ahead(self) -> bool:
        """Tell whether out-of-band commands may be found by reading on now."""
        return self._is_oob_enabled and self.is_unread and len(self.items) < _MOST_READ_AHEAD

    @property
    def kept_bytes(self) -> int:
        """Count what is kept: pieces that are not read to their end, commands, and what has come of a value without an end."""
        pieces = sum(len(data) for data, _ in self._pieces) + (self._piece_bytes if self._framer.has_input else 0)
        waiting = sum(map(_size, self.items)) + sum(command.raw_bytes for command in self.out_of_band)
        return pieces + waiting + self._framer.held_bytes

    @property
    def descriptor_count(self) -> int:
        """Count the descriptors that are open for this client: they wait for a command, or with one."""
        waiting = sum(len(numbers) for _, numbers in self._pieces) + sum(len(carrier.descriptors) for carrier in self._carriers)
        return len(self.unclaimed) + len(self.descriptors) + waiting

    @property
    def _carriers(self) -> list[Carrier | Forward]:
        """What was read and has descriptors."""
        if not self._has_had_descriptors:
            return []
        return [item for item in self.items if isinstance(item, Carrier | Forward) and item.descriptors]

    def begin_at(self, begun: Begun) -> None:
        """Go on with a stream of which another inbox has read the beginning. Its data are still to be received."""
        self._framer.begin_at(begun)

    @property
    def most_command_bytes(self) -> int:
        """How long the command may be of which a part has come."""
        return self._framer.value.most_bytes

    def limit(self, limits: Limits) -> None:
        """Hold each command to these limits that is still to begin: one of which a part was read keeps its own."""
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
        """Take the next item. None may mean only that a step was read without one: see `has_input`."""
        if not self.items and self.is_unread:
            self._read_on()
        return self.items.popleft() if self.items else None

    def put_back(self, item: Item) -> None:
        """Have `take` return this one again."""
        self.items.appendleft(item)

    def enable_out_of_band(self) -> None:
        """Have out-of-band commands overtake from now on, also those that have come already."""
        self._is_oob_enabled = True
        self.items = deque(self._divert(self.items))
        self.read_ahead()

    def take_out_of_band(self, most: int) -> list[OutOfBand]:
        """Take the next out-of-band commands, no more than so many."""
        taken, self.out_of_band = self.out_of_band[:most], self.out_of_band[most:]
        self._look()
        return taken

    def drop_order(self) -> None:
        """Have nothing overtake any more: all of it is only gone through."""
        self._is_oob_enabled = False
        self.out_of_band.clear()
        self._look()

    def keep_for_next(self, descriptors: Descriptors) -> None:
        """Keep descriptors for another command: the one that they came with did not take them."""
        self.descriptors = descriptors or self.descriptors

    def take_unclaimed(self) -> list[int]:
        """Take the descriptors that are to be closed."""
        taken, self.unclaimed = self.unclaimed, []
        return taken

    def drop_descriptors(self) -> Descriptors:
        """Take the descriptors that no command took, because nothing more will be begun."""
        dropped = (*self.take_unclaimed(), *self.descriptors, *(number for _, numbers in self._pieces for number in numbers))
        self.descriptors = ()
        self._pieces = deque((data, ()) for data, _ in self._pieces)
        return dropped

    def _read_on(self) -> None:
        """Read a step further."""
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
        """See whether to read on: not while very many commands wait that overtake."""
        is_full = len(self.out_of_band) >= _MOST_READ_AHEAD
        self.has_pieces = self._framer.has_input or bool(self._pieces)
        self.is_unread = self.has_pieces and not is_full

    def _attach(self, items: Sequence[Item]) -> list[Item]:
        """Hand descriptors to the first command that takes some; until one comes, they are kept.

        So does QEMU's character device. The kernel ends a read after the bytes that descriptors came with.
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
            # One that is too long is answered in-band: it would have to be spelled anew, with an id of ours.
            if isinstance(item, Command) and is_out_of_band(item.message) and excess(item) is None:
                self.out_of_band.append(OutOfBand(item.message, len(item.raw)))
            else:
                in_band.append(item)
        return in_band


def _size(item: Item) -> int:
    """Return about how many bytes are kept for an item."""
    match item:
        case Command(raw) | Carrier(Command(raw)) | Forward(raw) | HMPRequest(raw):
            return len(raw)
        case LocalReply(line):
            return len(line)
    return _OTHER_ITEM_BYTES

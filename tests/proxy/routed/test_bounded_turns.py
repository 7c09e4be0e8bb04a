"""No call with what one client has sent takes long, whatever that is: about 20 ms, after which it is the others' turn.

Time is counted in calls of functions, Python's own included, because that is the same on every machine.
"""

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

import pytest

from shim.rules.permissions import Permissions, Role
from shim.rules.rules import Rule
from tests.support.proxy.flood_kinds import KIB, KINDS, STOPPED_KINDS, Kind
from tests.support.routing.pure_router import Desk

# At 0.08 to 0.13 µs each.
MOST_CALLS: Final = 160_000
READ_BYTES: Final = 256 * KIB
READS: Final = 3
# Of each read, and after it has hung up; there may be thousands, all alike.
MOST_TURNS: Final = 50
PERMISSIONS: Final = {
    "all": Permissions(),
    "read-only": Permissions(role=Role.READ_ONLY),
    "deny": Permissions((Rule.deny("blockdev-backup", "object-add: monitor-*"),)),
}


def calls_of(function: Callable[[], object]) -> int:
    """Call a function, and count the calls that it leads to."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def turns(kind: Kind) -> Iterator[int]:
    """Yield how many calls a turn of a client takes: of its first reads, and after it has hung up."""
    desk = Desk(permissions=PERMISSIONS[kind.terms])
    client, dispatcher = desk.client(oob=kind.oob), desk.dispatcher

    def begun_by(function: Callable[[], object]) -> Iterator[int]:
        yield calls_of(function)
        for _ in range(MOST_TURNS):
            if client not in dispatcher.unfinished:
                return
            yield calls_of(lambda: dispatcher.work_off(client))

    sent = kind.first + kind.data * (READS * READ_BYTES // len(kind.data) + 1)
    for start in range(0, READS * READ_BYTES, READ_BYTES):
        piece = sent[start : start + READ_BYTES]
        yield from begun_by(lambda: dispatcher.receive_from_client(client, piece))  # noqa: B023 - called at once
        if not client.inbox.wants_more:
            break
    yield from begun_by(lambda: dispatcher.abandonment.receive_hang_up(client))


@pytest.mark.parametrize("name", [*KINDS, *STOPPED_KINDS])
def test_turn_of_a_client_is_bounded(name: str) -> None:
    assert max(turns(KINDS.get(name) or STOPPED_KINDS[name])) <= MOST_CALLS

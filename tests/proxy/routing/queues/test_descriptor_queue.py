"""One command with descriptors at a time, and nothing is left in QEMU behind one that failed: every state with every input."""

from typing import Any, Final

import pytest

from proxy.routing.queues.descriptor_queue import DescriptorQueue
from shim.qmp import Execute

SUCCESS: Final[dict[str, Any]] = {"return": {}}
FAILURE: Final[dict[str, Any]] = {"error": {"class": "GenericError", "desc": "no"}}
TAKE: Final = Execute("getfd", {"fdname": "hmpshim-leftover"})
CLOSE: Final = Execute("closefd", {"fdname": "hmpshim-leftover"})


def in_state(state: str) -> DescriptorQueue:
    descriptor_queue = DescriptorQueue()
    if state != "free":
        descriptor_queue.begin()
    if state in ("clearing", "closing"):
        assert descriptor_queue.settle(FAILURE) == TAKE
    if state == "closing":
        assert descriptor_queue.settle(SUCCESS) == CLOSE
    return descriptor_queue


# What is sent next, for each state, and each input.
AFTER: Final = {
    ("delivering", "success"): None,
    ("delivering", "failure"): TAKE,
    ("clearing", "success"): CLOSE,
    ("clearing", "failure"): None,
    ("closing", "success"): None,
    ("closing", "failure"): None,
}


@pytest.mark.parametrize(("state", "reply"), AFTER)
def test_reply_in_every_state(state: str, reply: str) -> None:
    descriptor_queue = in_state(state)
    due = descriptor_queue.settle(SUCCESS if reply == "success" else FAILURE)
    assert due == AFTER[state, reply]
    assert descriptor_queue.is_free is (due is None)


@pytest.mark.parametrize("state", ["delivering", "clearing", "closing"])
def test_next_command_waits_in_every_state_but_free(state: str) -> None:
    assert not in_state(state).is_free


def test_next_command_goes_out_at_once_when_free() -> None:
    assert in_state("free").is_free

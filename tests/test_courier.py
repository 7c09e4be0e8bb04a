"""One command with descriptors at a time, and nothing is left in QEMU behind one that failed: every state with every input."""

from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from proxy.courier import Courier, Delivery
from proxy.session import Forward
from shim.qmp import Execute
from tests.pure_router import a_session

SUCCESS: Final[dict[str, Any]] = {"return": {}}
FAILURE: Final[dict[str, Any]] = {"error": {"class": "GenericError", "desc": "no"}}
TAKE: Final = Execute("getfd", {"fdname": "hmpshim-leftover"})
CLOSE: Final = Execute("closefd", {"fdname": "hmpshim-leftover"})


def delivery(number: int) -> Delivery:
    return Delivery(a_session(), Forward(b"%d" % number, (number,)))


@dataclass(slots=True)
class Played:
    """A courier that was brought into a state. waits: delivery 2 is in its queue."""

    courier: Courier = field(default_factory=Courier)
    first: Delivery = field(default_factory=lambda: delivery(1))
    second: Delivery = field(default_factory=lambda: delivery(2))


def in_state(state: str, *, waits: bool) -> Played:
    played = Played()
    if state != "free":
        assert played.courier.add(played.first) is played.first
    if waits:
        assert played.courier.add(played.second) is None
    if state in ("clearing", "closing"):
        assert played.courier.settle(FAILURE) == TAKE
    if state == "closing":
        assert played.courier.settle(SUCCESS) == CLOSE
    return played


# What is sent next, for each state, and each input: "next" is the delivery that waits.
AFTER: Final = {
    ("delivering", "success"): "next",
    ("delivering", "failure"): TAKE,
    ("clearing", "success"): CLOSE,
    ("clearing", "failure"): "next",
    ("closing", "success"): "next",
    ("closing", "failure"): "next",
}


@pytest.mark.parametrize("waits", [False, True], ids=["alone", "another waits"])
@pytest.mark.parametrize(("state", "reply"), AFTER)
def test_reply_in_every_state(state: str, reply: str, waits: bool) -> None:
    played = in_state(state, waits=waits)
    due = played.courier.settle(SUCCESS if reply == "success" else FAILURE)
    expected = AFTER[state, reply]
    if expected != "next":
        assert due == expected
    else:
        assert due is (played.second if waits else None)


@pytest.mark.parametrize("waits", [False, True], ids=["alone", "another waits"])
@pytest.mark.parametrize("state", ["delivering", "clearing", "closing"])
def test_new_delivery_waits_in_every_state_but_free(state: str, waits: bool) -> None:
    played = in_state(state, waits=waits)
    assert played.courier.add(delivery(3)) is None


def test_new_delivery_goes_out_at_once_when_free() -> None:
    played = in_state("free", waits=False)
    assert played.courier.add(played.first) is played.first


@pytest.mark.parametrize("waits", [False, True], ids=["alone", "another waits"])
@pytest.mark.parametrize("state", ["delivering", "clearing", "closing"])
def test_abandon_gives_what_waits_in_every_state(state: str, waits: bool) -> None:
    played = in_state(state, waits=waits)
    assert played.courier.abandon() == ([2] if waits else [])
    assert played.courier.abandon() == []


def test_abandon_when_free_gives_nothing() -> None:
    assert Courier().abandon() == []


def test_deliveries_go_out_in_order() -> None:
    courier = Courier()
    deliveries = [delivery(number) for number in range(5)]
    sent = [courier.add(one) for one in deliveries][:1]
    sent += [courier.settle(SUCCESS) for _ in range(4)]  # type: ignore[misc]
    assert sent == deliveries
    assert courier.settle(SUCCESS) is None
    assert courier.add(deliveries[0]) is deliveries[0]

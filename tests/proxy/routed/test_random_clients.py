"""Random clients that come and go, under small limits, paused at times: nobody waits for ever, and everything is done once.

A case is set up by tests/support/routing/random_setting.py, and played by random_clients.py beside it. Whenever nothing goes on
any more, each client has heard its answers, in-band ones in their order; each HMP and each snapshot command that was read is on
record once; each descriptor was closed or sent to QEMU, once; and nobody waits or has the VM to itself.

HMPSHIM_FUZZ_CASES sets how many cases are played (200 if not); a failure names its seed, and `play(seed)`
plays that case again.
"""

import json
import os
import random
from typing import Any, Final

import pytest

from proxy.sessions.session import Session
from tests.support.routing.random_clients import RandomClients
from tests.support.routing.random_requests import Ends, Player
from tests.support.routing.random_setting import Setting

CASES: Final = int(os.environ.get("HMPSHIM_FUZZ_CASES", "200"))
CASES_PER_TEST: Final = 25


def play(seed: int, *, hands_over: bool = False) -> None:
    rng = random.Random(seed)
    setting = Setting.of(rng)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in setting.constants.items():
            patch.setattr(name, value)
        try:
            RandomClients(rng, setting).play(check_and_hand_over if hands_over else check)
        except Exception as exc:
            exc.add_note(f"seed {seed}: {setting}")
            raise


def check(clients: RandomClients) -> None:
    """Check what must hold when nothing goes on any more."""
    dispatcher = clients.dispatcher
    assert not dispatcher.owed, f"replies that QEMU does not owe are waited for: {list(dispatcher.owed)[:3]}"
    assert clients.is_lost or not dispatcher.out_of_band.under_way, "replies to out-of-band commands are waited for"
    assert dispatcher.plans.is_idle, "a plan does not go on"
    waiting = [clients.players[session].number for session in dispatcher.waiting]
    assert not waiting, f"clients wait for their turn, and nothing is under way: {waiting}"
    assert not clients.desk.turns.paused, "clients wait for the end of a pause, and there is none"
    assert clients.desk.turns.is_free, "the VM is held, and nothing is under way"
    for session, player in clients.players.items():
        what = f"client {player.number} (out-of-band: {player.has_oob}, ends: {player.ends.name})"
        if not player.is_removed:
            _check_session(session, player, what, has_stopped=clients.has_stopped)
        _check_heard(player, what, may_miss=player.is_cut or clients.has_stopped or clients.is_lost)
        recorded = clients.recorded[player.number]
        assert recorded == player.record_count, f"{what} has {recorded} records instead of {player.record_count}"
    kept = {number for session in clients.players for number in session.inbox.descriptors}
    assert clients.held == kept, f"descriptors are neither closed nor sent: {sorted(clients.held - kept)}"


def check_and_hand_over(clients: RandomClients) -> None:
    """Have another router go on whenever nothing goes on any more. What it has lost shows at the next such moment."""
    check(clients)
    if not (clients.is_lost or clients.has_stopped):
        clients.hand_over()


def _check_session(session: Session, player: Player, what: str, *, has_stopped: bool) -> None:
    assert not session.unanswered, f"{what} is owed {session.unanswered} replies that nobody will send"
    assert not session.waiting_bytes, f"{what} has {session.waiting_bytes} bytes of answers counted that it has got"
    assert not session.is_busy, f"{what} waits for a command of its own that is not under way"
    assert not session.inbox.has_input, f"{what} has sent what nobody begins: {session.inbox.items} {session.inbox.has_pieces=}"
    assert not session.inbox.out_of_band, f"{what} has sent out of band what nobody sends on: {session.inbox.out_of_band}"
    if not has_stopped:
        assert not player.in_kernel, f"{what} is not read on: {player.in_kernel[0]}"
        assert player.ends is Ends.NOT, f"{what} has left, and is not removed"


def _check_heard(player: Player, what: str, *, may_miss: bool) -> None:
    """Check what a client heard since the last time, and forget it."""
    replies = _replies(player, what, may_end_within=may_miss)
    ids = [reply.get("id") for reply in replies]
    in_band = [own for own in ids if own is not None and own not in player.out_of_band]
    out_of_band = sorted(own for own in ids if own in player.out_of_band)
    malformed_count = ids.count(None)
    if may_miss:
        assert in_band == player.in_band[: len(in_band)], f"{what} heard {in_band}, after having sent {player.in_band}"
        assert len(set(out_of_band)) == len(out_of_band), f"{what} heard two answers to one command: {out_of_band}"
        assert malformed_count <= player.malformed_count, f"{what} heard {malformed_count} errors for {player.malformed_count}"
    else:
        assert in_band == player.in_band, f"{what} heard {in_band}, after having sent {player.in_band}"
        assert out_of_band == sorted(player.out_of_band), f"{what} heard {out_of_band} out of band"
        assert malformed_count == player.malformed_count, f"{what} heard {malformed_count} errors for {player.malformed_count}"
    player.forget()


def _replies(player: Player, what: str, *, may_end_within: bool) -> list[dict[str, Any]]:
    *lines, rest = bytes(player.heard).split(b"\r\n")
    assert not rest or may_end_within, f"{what} heard half a line: {rest!r}"
    replies: list[dict[str, Any]] = []
    for line in lines:
        try:
            message = json.loads(line)
        except ValueError:
            raise AssertionError(f"{what} heard what is no message: {line!r}") from None
        if "event" not in message and "QMP" not in message:
            replies.append(message)
    return replies


@pytest.mark.parametrize("first", range(0, CASES, CASES_PER_TEST))
def test_nobody_waits_and_everything_is_done_once(first: int) -> None:
    for seed in range(first, min(first + CASES_PER_TEST, CASES)):
        play(seed)


@pytest.mark.parametrize("first", range(0, CASES, 2 * CASES_PER_TEST))
def test_nobody_notices_a_hand_over(first: int) -> None:
    for seed in range(first, min(first + CASES_PER_TEST, CASES)):
        play(seed, hands_over=True)

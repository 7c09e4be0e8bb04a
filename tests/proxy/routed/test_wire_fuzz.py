"""Router and Session under random conversations: split, spoilt and interleaved, of clients that leave at any point.

In every case each client hears its own replies in its order, malformed input gets its documented error and harms nobody
else, QEMU gets whole commands only, and at the end nobody waits. Each case is played in pieces and byte by byte.

HMPSHIM_FUZZ_CASES sets how many cases are played (1,500 with CI=true, else 1,000); a failure names its seed, and `play(seed)`
plays that case again.
"""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.qmp_json.messages import format_of
from proxy.routing.dispatcher import Dispatcher
from proxy.routing.router import Router
from proxy.routing.turns import Turns
from proxy.sessions.monitor import Clock
from proxy.sessions.session import Session
from shim.client import Client
from shim.graph.policy import Policy
from shim.plans.jobs import JOB_PREFIX
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.fakes.tiny_qemu import TinyQEMU
from tests.fakes.vm import DEBIAN_12
from tests.integration.proxy_process import ProxyProcess
from tests.support.raw_client import DEADLINE_S
from tests.support.routing.wire_cases import Case, Expected, Leaves, Plan, expected, make_case, monitor_of
from tests.support.streams import FAMILIES

CASES: Final = int(os.environ.get("HMPSHIM_FUZZ_CASES", "1500" if os.environ.get("CI") == "true" else "1000"))
CASES_PER_TEST: Final = 250

# Out-of-band commands in the read that enabled them waited for the next read.
_ENABLED_IN_ONE_READ: Final = b'{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}{"exec-oob":"query-yank","id":1}'
FOUND: Final[dict[str, tuple[bytes, ...]]] = {"out-of-band in the read that enables it": (_ENABLED_IN_ONE_READ,)}

# How the proxy's own commands begin.
OWN: Final = (
    b'{"execute":"query-status"', b'{"execute":"query-block"', b'{"execute":"query-named-block-nodes"',
    b'{"execute":"x-debug-query-block-graph"', b'{"execute":"query-migrate', b'{"execute":"query-replay"',
    b'{"execute":"query-jobs"', b'{"execute":"job-dismiss"', b'{"execute":"snapshot-', b'{"exec-oob":', b'{"id":',
)  # fmt: skip
ABOUT_BYTES: Final = "JSON parse error"

# QEMU is quicker than a client, or all would be sent before the first snapshot is surveyed.
_HASTE: Final = 8
_ONE_BYTE: Final = [bytes([byte]) for byte in range(256)]
_NOW: Final = datetime(2026, 1, 2, tzinfo=UTC)
_CLOCK: Final = Clock(lambda: 0, lambda: _NOW, lambda: _NOW, lambda _: _NOW)


@dataclass(slots=True)
class Player:
    """One client on the stage."""

    plan: Plan
    session: Session
    sent: int = 0
    heard: bytearray = field(default_factory=bytearray)
    has_left: bool = False
    is_removed: bool = False


class Stage:
    """A router between players and TinyQEMU. `play` lets them act in random order until nobody has anything to do."""

    def __init__(self, case: Case, *, is_bytewise: bool) -> None:
        self._rng = random.Random(f"{case.seed} {is_bytewise}")
        self._is_bytewise = is_bytewise
        self._case = case
        monitor = monitor_of(case.version)
        new_id = (f"{JOB_PREFIX}{number}" for number in count(1)).__next__
        self._dispatcher = Dispatcher(monitor, Policy(), _CLOCK, new_id=new_id, own_prefix=JOB_PREFIX, turns=Turns())
        self._router = Router(self._dispatcher, format_of(monitor.greeting))
        self.qemu = TinyQEMU(self._rng)
        self.is_lost = False
        self._dispatcher.start()
        self.players = [Player(plan, self._dispatcher.add_session(Client())) for plan in case.plans]
        self._take()

    def play(self) -> None:
        while actions := self._actions():
            self._rng.choice(actions)()
            self._take()
            if self._case.loses_qemu and self._rng.random() < 0.02:
                return self._lose_qemu()
        assert self._dispatcher.plans.is_idle
        assert not self.qemu.has_running_job
        for player in self.players:
            assert player.is_removed, f"a client waits: {player.session.unanswered=} {player.session.inbox=}"

    def _actions(self) -> list[Callable[[], None]]:
        actions: list[Callable[[], None]] = [partial(self._act, player) for player in self.players if not player.has_left]
        if self.qemu.has_work:
            actions += [self.qemu.step] * _HASTE
        if self.qemu.output:
            actions += [self._deliver] * _HASTE
        if actions and self._rng.random() < 0.03:
            actions = [partial(self.qemu.emit, "POWERDOWN")]
        if not actions and self.qemu.has_running_job:
            actions.append(self.qemu.finish_jobs)
        if not actions and self._dispatcher.plans.awaiting and self.qemu.is_silent:
            actions.append(self._dispatcher.poll)
        return actions

    def _act(self, player: Player) -> None:
        stream = player.plan.sent
        if player.sent == len(stream):
            self._leave(player)
            return
        piece = stream[player.sent : player.sent + self._rng.choice((1, 10, 1000))]
        player.sent += len(piece)
        for read in map(_ONE_BYTE.__getitem__, piece) if self._is_bytewise else (piece,):
            if self._dispatcher.receive_from_client(player.session, read):
                self.qemu.receive(read)
            self._take()

    def _leave(self, player: Player) -> None:
        player.has_left = True
        if not player.plan.leaves.is_cut:
            self._dispatcher.abandonment.receive_eof(player.session)
        elif not player.is_removed:
            self._remove(player)

    def _remove(self, player: Player) -> None:
        player.is_removed = True
        self._dispatcher.abandonment.remove_session(player.session)

    def _deliver(self) -> None:
        piece = bytes(self.qemu.output[: self._rng.choice((1, 100, 4096))])
        del self.qemu.output[: len(piece)]
        # The answers to a survey are long.
        size = 1 if self._is_bytewise and len(piece) <= 100 else len(piece)
        for at in range(0, len(piece), size):
            self._hear(piece[at : at + size])

    def _hear(self, data: bytes) -> None:
        session = self._router.receive_from_qemu(data)
        if session is not None:
            next(player for player in self.players if player.session is session).heard += data
        self._take()

    def _lose_qemu(self) -> None:
        self.is_lost = True
        self._dispatcher.receive_qemu_eof()
        self._take()
        for player in self.players:
            if not player.is_removed:
                self._remove(player)
        assert self._dispatcher.plans.is_idle

    def _take(self) -> None:
        self._empty_outbox()
        while self._dispatcher.unfinished:
            self._dispatcher.work_off(next(iter(self._dispatcher.unfinished)))
            self._empty_outbox()

    def _empty_outbox(self) -> None:
        self._dispatcher.outbox.records.clear()
        for segment in self._dispatcher.outbox.segments_to_qemu():
            self.qemu.receive(segment.data)
        assert not self._dispatcher.outbox.descriptors_to_close()
        for session in self._dispatcher.outbox.sessions_to_flush():
            player = next(player for player in self.players if player.session is session)
            player.heard += session.data_to_send()
            if session.is_finished and not player.is_removed:
                self._remove(player)


# -- What must hold ----------------------------------------------------------------------------------------------------


def play(seed: int) -> None:
    """Play the case of a seed both ways."""
    play_case(make_case(seed))


def play_case(case: Case) -> None:
    for is_bytewise in (False, True):
        stage = Stage(case, is_bytewise=is_bytewise)
        try:
            stage.play()
            _check(case, stage)
        except Exception as exc:
            exc.add_note(f"seed {case.seed}, {'byte by byte' if is_bytewise else 'in pieces'}: {case}")
            raise


def _check(case: Case, stage: Stage) -> None:
    monitor = monitor_of(case.version)
    raws: Counter[bytes] = Counter()
    for_the_shim: set[bytes] = set()
    for player in stage.players:
        told = expected(monitor, player.plan.sent)
        for_the_shim.update(told.for_the_shim)
        # What a client that left had not begun is dropped.
        (for_the_shim if player.plan.leaves.is_cut or told.has_oob else raws).update(told.raws)
        _check_player(player, told, stage, monitor.greeting)
    received = Counter(stage.qemu.received)
    if not stage.is_lost:
        assert raws <= received, f"QEMU did not get {raws - received}"
    for raw in received - raws:
        assert raw in for_the_shim or raw.startswith(OWN), f"nobody sent {raw!r}"


def _check_player(player: Player, told: Expected, stage: Stage, greeting: bytes) -> None:
    assert player.heard.startswith(greeting)
    lines = bytes(player.heard).removeprefix(greeting).split(b"\r\n")
    is_whole = not (stage.is_lost or player.plan.leaves.is_cut or told.has_oob)
    unfinished = lines.pop()
    assert not unfinished or not is_whole
    messages = [json.loads(line) for line in lines]
    events = [message["event"] for message in messages if "event" in message]
    assert _is_slice(events, stage.qemu.events), f"{events} out of {stage.qemu.events}"
    replies = [message for message in messages if "event" not in message]
    is_negotiated = False
    for message in messages:
        is_negotiated = is_negotiated or message.get("return") == {}
        assert is_negotiated or "event" not in message, "an event before the negotiation"
    out_of_band = [reply for reply in replies if reply in told.out_of_band]
    in_band = [reply for reply in replies if reply not in told.out_of_band]
    if is_whole:
        assert Counter(map(str, out_of_band)) == Counter(map(str, told.out_of_band))
        assert len(in_band) == len(told.in_band), f"{in_band} instead of {told.in_band}"
    for reply, wanted in zip(in_band, told.in_band, strict=False):
        assert _is_as_told(reply, wanted), f"{reply} instead of {wanted}"


def _is_slice(part: list[str], whole: list[str]) -> bool:
    return any(whole[at : at + len(part)] == part for at in range(len(whole) - len(part) + 1))


def _is_as_told(reply: dict[str, Any], wanted: dict[str, Any]) -> bool:
    if "return" in wanted or "error" in wanted:
        return bool(reply == wanted)
    text = reply.get("return")
    return isinstance(text, str) and reply == {"return": text} | wanted and text[:7] in ("", "Error: ", "List of", "human-m")


@pytest.mark.parametrize("first", range(0, CASES, CASES_PER_TEST))
def test_clients_hear_what_is_theirs(first: int) -> None:
    for seed in range(first, min(first + CASES_PER_TEST, CASES)):
        play(seed)


@pytest.mark.parametrize("name", FOUND)
def test_what_once_failed(name: str) -> None:
    for version in FAMILIES:
        play_case(Case(0, version, tuple(Plan(stream, Leaves(len(stream), False)) for stream in FOUND[name]), False))


# -- On sockets --------------------------------------------------------------------------------------------------------


async def _converse(path: str, plan: Plan, rng: random.Random) -> list[bytes]:
    """Be one client; give what it heard in lines, up to the end or to where it goes away."""
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 22)
    try:
        for at in range(0, len(plan.sent), size := rng.choice((1, 10, 1000))):
            writer.write(plan.sent[at : at + size])
            await writer.drain()
        if plan.leaves.is_cut:
            return [await reader.readline()]
        writer.write_eof()
        return (await reader.read()).splitlines(keepends=True)
    finally:
        writer.close()


def _check_heard(heard: list[bytes], told: Expected) -> None:
    messages = [json.loads(line) for line in heard]
    assert "QMP" in messages.pop(0)
    if told.has_oob:
        return
    replies = [message for message in messages if "event" not in message]
    # What QEMU says is not known here, but what the proxy does is, and whose each reply is.
    out_of_band = Counter(repr(reply.get("id")) for reply in told.out_of_band)
    assert sum(out_of_band.values()) + len(told.in_band) == len(replies)
    if not out_of_band:
        assert [reply.get("id") for reply in replies] == [reply.get("id") for reply in told.in_band]
    errors = [reply for reply in told.in_band if ABOUT_BYTES in reply.get("error", {"desc": ""})["desc"]]
    assert [reply for reply in replies if ABOUT_BYTES in reply.get("error", {"desc": ""})["desc"]] == errors


async def _play_on_sockets(path: str, case: Case) -> None:
    rng = random.Random(case.seed)
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        tasks = [group.create_task(_converse(path, plan, rng)) for plan in case.plans]
    for task, plan in zip(tasks, case.plans, strict=True):
        if not plan.leaves.is_cut:
            _check_heard(task.result(), expected(monitor_of(DEBIAN_12), plan.sent))


def test_clients_on_sockets_hear_what_is_theirs() -> None:
    async def play_all() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            proxy = ProxyProcess(Path(qemu.path).parent, qemu.path)
            await asyncio.to_thread(proxy.__enter__)
            try:
                for seed in range(max(1, CASES // 100)):
                    try:
                        await _play_on_sockets(proxy.path, make_case(seed))
                    except Exception as exc:
                        exc.add_note(f"seed {seed}: {make_case(seed)}")
                        raise
            finally:
                await asyncio.to_thread(proxy.__exit__, None, None, None)

    asyncio.run(play_all())

"""Random clients of one pure router, read and paused as the proxy does it (proxy/relaying/), without sockets.

A case follows from its seed. It is played in rounds: for some steps clients come, send, half-close and hang up, QEMU reads
and answers when it likes, and then all goes on that can without a client's doing. When nothing can, all must be done that was
asked for. A wake-up that is lost shows only there, because the next command of anybody makes up for it.
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Final

from proxy.routing.outbox import Segment
from proxy.sessions.limits import SessionLimits
from proxy.sessions.requests import Descriptors
from proxy.sessions.session import Session
from shim.client import Client
from shim.graph.policy import Policy
from shim.records.audit import Action, AuditRecord
from shim.rules.permissions import EVERYTHING
from tests.fakes.jobs import VMFaults
from tests.support.routing.handed_desk import hand_over
from tests.support.routing.pure_router import Desk
from tests.support.routing.random_requests import DENYING, Ends, Piece, Player, RandomRequests
from tests.support.routing.random_setting import Setting
from tests.support.routing.slow_qemu import SlowQEMU

__all__ = ["RandomClients"]

_MOST_CLIENTS: Final = 8
_MOST_PIECES: Final = 25
# A round that has not come to its end after so many steps never will: it takes hundreds.
_ENDLESS_STEPS: Final = 200_000


class RandomClients:
    """Clients, a router and a QEMU that is slow. `play` calls `check` whenever nothing goes on any more.

    held: the descriptors that the proxy has open. recorded: how many records there were of each client.
    """

    def __init__(self, rng: random.Random, setting: Setting) -> None:
        self._rng = rng
        self._setting = setting
        faults = VMFaults(running_queries=setting.job_queries, announces_late=rng.random() < 0.5)
        self._qemu = SlowQEMU(rng, faults)
        self.desk = Desk(
            qemu=self._qemu.model,
            policy=Policy(mode=setting.mode),
            permissions=DENYING if setting.denies else EVERYTHING,
            limits=SessionLimits(commands=setting.commands),
            announce=self._announce if setting.refuses_records else None,
        )
        self.dispatcher = self.desk.dispatcher
        self.players: dict[Session, Player] = {}
        self.held: set[int] = set()
        self.recorded: Counter[int | None] = Counter()
        self.has_stopped = False
        self.is_lost = False
        self._numbers = itertools.count(1)
        self._descriptors = itertools.count(1000)
        self.dispatcher.start()
        self._empty_outbox()

    def play(self, check: Callable[["RandomClients"], None]) -> None:
        """Play the rounds, to the last or to where the proxy ends."""
        for number, step_count in enumerate(self._setting.rounds):
            for _ in range(self._rng.randint(1, 5) - self._present_count):
                self._join()
            for step in range(step_count):
                self._let_something_happen()
                if number == self._setting.stops_in and step == step_count // 2:
                    self._stop()
                self._act(is_settling=False)
            if number == self._setting.loses_in:
                self._lose_qemu()
            self._settle()
            if self.desk.turns.pause.is_on:
                assert self.dispatcher.plans.is_idle, "a plan does not go on because others are paused"
                assert not self.dispatcher.waiting, "clients wait for their turn because others are paused"
                self._end_pause()
                self._settle()
            check(self)
            if self.is_lost or self.has_stopped:
                return
            for player in self.players.values():
                player.piece_count = 0

    def hand_over(self) -> None:
        """Go on with another router, as another process does."""
        handed = hand_over(self.desk)
        assert handed is not None, "a client cannot be handed over"
        self.desk, sessions = handed
        self.dispatcher = self.desk.dispatcher
        self.players = {sessions.get(session, session): player for session, player in self.players.items()}

    def _settle(self) -> None:
        """Let all go on that can."""
        for _ in range(_ENDLESS_STEPS):
            self._hang_up_in_line()
            if not self._act(is_settling=True):
                return
        raise AssertionError(f"it never ends: {self.dispatcher.unfinished=} {self.dispatcher.waiting=}")

    def _announce(self, _: AuditRecord) -> str | None:
        return "the disk is full" if self._rng.random() < 0.5 else None

    @property
    def _present_count(self) -> int:
        return sum(not player.is_removed for player in self.players.values())

    # -- What clients do, and what befalls the proxy -------------------------------------------------------------------

    def _join(self) -> None:
        rng, number, has_oob = self._rng, next(self._numbers), self._rng.random() < 0.5
        requests = RandomRequests(rng, number, self._descriptors, has_oob=has_oob, has_rules=self._setting.denies)
        player = Player(number, requests, has_oob)
        session = self.dispatcher.add_session(Client(number, 0, "/bin/tool"), lambda: player.ends is Ends.GONE)
        self.players[session] = player
        player.in_kernel.append(requests.negotiation())
        self._empty_outbox()

    def _let_something_happen(self) -> None:
        dice = self._rng.random()
        if dice < 0.012 and not self.has_stopped:
            if self._present_count < _MOST_CLIENTS:
                self._join()
        elif dice < 0.018:
            player = self._rng.choice(list(self.players.values()))
            player.ends = Ends.HALF_CLOSED if player.ends is Ends.NOT else player.ends
        elif dice < 0.022:
            self._rng.choice(list(self.players.values())).ends = Ends.GONE
        elif dice < 0.032:
            self.dispatcher.room.is_congested = True
        elif dice < 0.047 and self._setting.pauses:
            self.desk.turns.pause.begin()
        elif dice < 0.055 and self.desk.turns.pause.is_on:
            self._end_pause()

    def _end_pause(self) -> None:
        self.desk.turns.pause.end()
        self.dispatcher.serve_waiting()
        self._empty_outbox()

    def _hang_up_in_line(self) -> None:
        """Have the last in the line go before the last reply: no later one makes up for what its going leaves undone."""
        if self.dispatcher.waiting and len(self.dispatcher.owed) == 1 and self._rng.random() < 0.25:
            self.players[list(self.dispatcher.waiting)[-1]].ends = Ends.GONE

    def _stop(self) -> None:
        self.has_stopped = True
        self._let_all_go_on()
        self.dispatcher.stop()
        self._empty_outbox()

    def _lose_qemu(self) -> None:
        self.is_lost = True
        self.dispatcher.receive_qemu_eof()
        self._empty_outbox()
        for session in self.players:
            self._drop(session)
        self._empty_outbox()

    # -- What can happen next ------------------------------------------------------------------------------------------

    def _act(self, *, is_settling: bool) -> bool:
        """Do one thing of those that can be done. Tells whether there was any. is_settling: clients send nothing new."""
        actions = list(self._own_actions(is_settling=is_settling))
        for session, player in self.players.items():
            if player.is_removed:
                continue
            if player.is_read and (player.in_kernel or player.ends is not Ends.NOT):
                actions += [partial(self._read, session, player)] * 3
            can_send = player.ends is Ends.NOT and not self.has_stopped and player.piece_count < _MOST_PIECES
            if can_send and not is_settling:
                actions += [player.send_next] * 2
        if actions:
            self._rng.choice(actions)()
        return bool(actions)

    def _own_actions(self, *, is_settling: bool) -> Iterable[Callable[[], None]]:
        """Yield what the proxy and QEMU can do without a client."""
        dispatcher, qemu = self.dispatcher, self._qemu
        if dispatcher.unfinished:
            yield from [self._work_off] * 2
        if self.is_lost:
            return
        if self.desk.unwritten:
            yield self._write_note
        if qemu.can_run:
            yield from [qemu.run] * 3
        if qemu.can_read and not dispatcher.room.is_congested:
            yield from [qemu.read] * 3
        if qemu.output:
            yield from [self._hear_qemu] * 3
        if dispatcher.room.is_congested:
            yield self._relax
        has_gone = any(session.is_gone() for session in self.desk.turns.paused)
        is_due = dispatcher.plans.awaiting or dispatcher.starter.holds_back or has_gone
        if is_due and (is_settling or self._rng.random() < 0.05):
            yield self._poll

    def _work_off(self) -> None:
        self.dispatcher.work_off(next(iter(self.dispatcher.unfinished)))
        self._empty_outbox()

    def _write_note(self) -> None:
        self.desk.write_note()
        self._empty_outbox()

    def _relax(self) -> None:
        self.dispatcher.room.is_congested = False
        self.dispatcher.serve_waiting()
        self._empty_outbox()
        self._let_all_go_on()

    def _poll(self) -> None:
        self.dispatcher.poll()
        self._empty_outbox()

    def _hear_qemu(self) -> None:
        output, size = self._qemu.output, self._rng.choice((1, 20, 50, 100_000))
        data = bytes(output[:size])
        del output[:size]
        session = self.desk.router.receive_from_qemu(data)
        if session is not None:
            self._take_records()
            assert not self.players[session].is_removed, "a reply goes straight to a client that was dropped"
            self.players[session].heard += data
        self._empty_outbox()

    # -- As proxy/relaying/ does it ------------------------------------------------------------------------------------------

    def _read(self, session: Session, player: Player) -> None:
        """Read a client once: the kernel ends a read after what descriptors came with."""
        if not player.in_kernel:
            self._read_end(session, player)
            return
        data, descriptors = b"", Descriptors()
        while player.in_kernel and not descriptors and (not data or self._rng.random() < 0.5):
            part, descriptors = self._take_from_kernel(player)
            data += part
        self.held.update(descriptors)
        if self.dispatcher.receive_from_client(session, data, descriptors):
            self._write(Segment(data))
        else:
            self._empty_outbox()
        is_kept = session.inbox.kept_bytes or descriptors or self.dispatcher.room.is_congested
        if is_kept and not player.is_removed:
            self._let_go_on(session, player)

    def _take_from_kernel(self, player: Player) -> tuple[bytes, Descriptors]:
        """Take a piece, or now and then its beginning: descriptors come with the first byte."""
        piece = player.in_kernel.popleft()
        if len(piece.data) > 1 and self._rng.random() < 0.1:
            at = self._rng.randrange(1, len(piece.data))
            # What is recorded is the only command of its piece; of others some may be answered already.
            player.in_kernel.appendleft(Piece(piece.data[at:], record_count=piece.record_count))
            piece = replace(piece, data=piece.data[:at], record_count=0)
        player.expect(piece)
        return piece.data, piece.descriptors

    def _read_end(self, session: Session, player: Player) -> None:
        player.is_read = False
        if player.ends is Ends.GONE:
            self.dispatcher.abandonment.receive_hang_up(session)
        else:
            self.dispatcher.abandonment.receive_eof(session)
        self._empty_outbox()
        if session.hears_end_of_file:
            self._drop(session)
            self._empty_outbox()

    def _empty_outbox(self) -> None:
        outbox = self.dispatcher.outbox
        for notice in outbox.notices_to_log():
            if isinstance(notice, Exception):
                raise notice
        self._take_records()
        self.desk.unwritten += outbox.notes_to_write()
        outbox.intents_to_forget()
        for segment in outbox.segments_to_qemu():
            self._write(segment)
        for session in outbox.sessions_to_flush():
            self._flush(session, self.players[session])
        for number in outbox.descriptors_to_close():
            self._let_descriptor_go(number, "closed")

    def _take_records(self) -> None:
        records, _ = self.dispatcher.outbox.records_to_write()
        self.recorded.update(record.client.pid for record in records if record.action is not Action.WENT_ON)

    def _write(self, segment: Segment) -> None:
        for number in segment.descriptors:
            self._let_descriptor_go(number, "sent to QEMU")
        self._qemu.write(segment)

    def _let_descriptor_go(self, number: int, how: str) -> None:
        assert number in self.held, f"descriptor {number} is {how}, and was closed or sent before"
        self.held.remove(number)

    def _flush(self, session: Session, player: Player) -> None:
        if player.is_removed:
            return
        player.heard += session.data_to_send()
        if session.is_finished:
            self._drop(session)
        elif not player.is_read:
            self._let_go_on(session, player)

    def _drop(self, session: Session) -> None:
        player = self.players[session]
        if not player.is_removed:
            player.is_removed, player.is_read = True, False
            self.dispatcher.abandonment.remove_session(session)

    def _let_go_on(self, session: Session, player: Player) -> None:
        is_paused = self.dispatcher.room.is_congested or self.has_stopped or not session.inbox.wants_more
        player.is_read = not (is_paused or session.has_left)

    def _let_all_go_on(self) -> None:
        for session, player in self.players.items():
            if not player.is_removed:
                self._let_go_on(session, player)

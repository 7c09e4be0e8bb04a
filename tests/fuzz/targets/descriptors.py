"""Passed file descriptors: none is lost, none is handed on twice, and none gets to another command than its own.

Numbers stand for descriptors, as in a kernel that never uses one again. The bytes are a script: who sends what with how many,
when QEMU works off what it got, who leaves. QEMU's monitor keeps one set of descriptors, as monitor/fds.c does.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from proxy.routing.outbox import Segment
from proxy.sessions.session import Session
from tests.support.routing.pure_router import Desk

__all__ = ["COVERS", "WORDS", "check"]

COVERS: Final = (
    *("proxy/routing/queues/descriptor_queue.py", "proxy/sessions/inbox.py", "proxy/sessions/session.py"),
    *("proxy/routing/dispatcher.py", "proxy/routing/abandonment.py", "proxy/routing/turns.py"),
)
WORDS: Final = tuple(bytes((step, detail)) for step in range(16) for detail in (0, 5, 10, 17))

_CLIENTS: Final = 3
_MOST_DESCRIPTORS: Final = 3
_MOST_STEPS: Final = 40
_LEFTOVER: Final = "hmpshim-leftover"
# What a client sends; {} stands for its id. Of the first ones, that one of a client which comes next takes its descriptors.
_TAKERS: Final = (
    '{"execute":"getfd","arguments":{"fdname":"x"},"id":"{}"}',
    '{"id":"{}","execute":"add-fd"}',
    '{"execute":"getfd","id":"{}"}',
    '{"execute":"getfd","arguments":{"fdname":"9"},"id":"{}"}',
    '{"execute":"\\u0067etfd","arguments":{"fdname":"x"},"id":"{}"}\n',
)
_OTHERS: Final = (
    '{"execute":"query-name","id":"{}"}\n',
    '{"execute":"human-monitor-command","arguments":{"command-line":"savevm t"},"id":"{}"}',
    '{"exec-oob":"getfd","arguments":{"fdname":"x"},"id":"{}"}',
    "}\n",
    '{"execute":"qmp_capabilities","id":"{}"}',
)
_COMMANDS: Final = (*_TAKERS, *_OTHERS)


@dataclass(slots=True)
class _Player:
    """A client. rest: of a command whose first half is sent. kept: descriptors that no command has taken yet."""

    session: Session
    rest: str = ""
    rest_takes: str = ""
    kept: tuple[int, ...] = ()


@dataclass(slots=True)
class _Kernel:
    """What was opened, where each descriptor must go (by the command's id), and where it went."""

    opened: int = 0
    due: dict[str, tuple[int, ...]] = field(default_factory=dict)
    delivered: Counter[int] = field(default_factory=Counter)

    def open(self, number: int) -> tuple[int, ...]:
        self.opened += number
        return tuple(range(self.opened - number, self.opened))


class _Monitor:
    """QEMU's side: commands that it has not run yet, and the descriptors that it holds."""

    def __init__(self, kernel: _Kernel) -> None:
        self.held: tuple[int, ...] = ()
        self.waiting: list[tuple[dict[str, Any], tuple[int, ...] | None]] = []
        self._kernel = kernel
        self._named: set[str] = set()

    def take(self, segment: Segment) -> None:
        commands = list(_decoded(segment.data.decode()))
        if segment.descriptors:
            assert len(commands) == 1, "descriptors go with one command"
        for command in commands:
            due = self._kernel.due.get(str(command.get("id")), ())
            assert segment.descriptors == due or (not segment.descriptors and due is None), f"{command} lacks {due}"
            self.waiting.append((command, segment.descriptors or None))
        self._kernel.delivered.update(segment.descriptors)

    def run(self, desk: Desk) -> None:
        """Run the next command, and let its answer come."""
        command, arrived = self.waiting.pop(0)
        if arrived is not None:
            self.held = arrived
        name, arguments = command.get("execute"), command.get("arguments", {})
        if name not in ("getfd", "add-fd", "closefd"):
            desk.receive(desk.qemu.receive(json.dumps(command).encode()))
            return
        succeeded = self._run_on_descriptors(name, arguments, str(command.get("id")))
        outcome = {"return": {}} if succeeded else {"error": {"class": "GenericError", "desc": "no"}}
        desk.receive(json.dumps(outcome | {key: command[key] for key in ("id",) if key in command}).encode() + b"\r\n")

    def _run_on_descriptors(self, name: str, arguments: dict[str, Any], own_id: str) -> bool:
        fdname = arguments.get("fdname", "")
        if name == "closefd":
            found = fdname in self._named
            self._named.discard(fdname)
            return found
        if name == "getfd" and not fdname:
            return False  # before it looks for a descriptor
        taken, self.held = self.held, ()
        if not taken:
            return False
        if fdname != _LEFTOVER:
            assert taken == self._kernel.due.get(own_id), f"{own_id} took {taken}"
        if fdname[:1].isdigit():
            return False
        self._named.add(fdname)
        return True


class _Play:
    """A desk with clients, played by a script."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.desk.start()
        self.kernel = _Kernel()
        self.monitor = _Monitor(self.kernel)
        self.players: dict[int, _Player] = {}
        self.is_lost = False
        self._ids = map(str, count(1))
        self._work_off()

    def step(self, what: int, detail: int) -> None:
        number, descriptors = detail % _CLIENTS, detail // _CLIENTS % _MOST_DESCRIPTORS
        player = self.players.get(number)
        if what == len(_COMMANDS) or what > len(_COMMANDS) + 4:
            self._work_off(detail % 4 + 1)
        elif player is None:
            self.players[number] = _Player(self.desk.client(oob=bool(detail & 1), number=number + 1))
        elif what < len(_COMMANDS):
            self._send(player, what, descriptors, is_half=detail > 127)
        elif what == len(_COMMANDS) + 1:
            if not player.session.has_left:
                self.desk.dispatcher.abandonment.receive_eof(player.session)
        elif what == len(_COMMANDS) + 2:
            self._remove(number)
        else:
            self._work_off()
        self._take()

    def _send(self, player: _Player, what: int, descriptors: int, *, is_half: bool) -> None:
        if player.session.has_left:
            return
        data, takers = player.rest, [player.rest_takes] if player.rest_takes else []
        own_id = next(self._ids)
        text, taker = _COMMANDS[what].replace("{}", own_id), own_id if what < len(_TAKERS) else ""
        half = len(text) // 2 if is_half else len(text)
        player.rest, player.rest_takes = text[half:], taker if is_half else ""
        data += text[:half]
        takers += [taker] if taker and not is_half else []
        opened = self.kernel.open(descriptors)
        player.kept = opened or player.kept
        if player.kept and takers:
            self.kernel.due[takers[0]], player.kept = player.kept, ()
        self.desk.send(player.session, data.encode(), opened)

    def _take(self) -> None:
        """Do what a driver does."""
        self.desk.take()
        for segment in self.desk.to_qemu:
            self.monitor.take(segment)
        self.desk.to_qemu.clear()
        for number, player in list(self.players.items()):
            if player.session.is_finished or (player.session.has_left and player.session.hears_end_of_file):
                self._remove(number)

    def _remove(self, number: int) -> None:
        self.desk.dispatcher.abandonment.remove_session(self.players.pop(number).session)
        self.desk.take()

    def _work_off(self, commands: int = 1000) -> None:
        self._take()
        while self.monitor.waiting and commands:
            self.monitor.run(self.desk)
            self._take()
            commands -= 1

    def end(self, *, loses_qemu: bool) -> None:
        """Let all be done, or QEMU be lost before; then nobody is there any more."""
        if not loses_qemu:
            self._work_off()
            assert self.desk.dispatcher.owes_nothing, "a command waits for ever"
            assert not self.monitor.held, "QEMU holds what a failed command left"
        self.desk.lose()
        for number in list(self.players):
            self._remove(number)
        self._take()
        ended = self.kernel.delivered + Counter(self.desk.closed)
        assert ended == Counter(range(self.kernel.opened)), f"{ended} of {self.kernel.opened}"


def check(data: bytes) -> None:
    """Fail unless each descriptor goes to its own command, or is closed, once."""
    if not data:
        return
    play = _Play()
    for at in range(1, min(len(data) - 1, 2 * _MOST_STEPS), 2):
        play.step(data[at] % 16, data[at + 1])
    play.end(loses_qemu=bool(data[0] & 1))


def _decoded(text: str) -> Iterator[dict[str, Any]]:
    decoder, at = json.JSONDecoder(), 0
    while text := text[at:].lstrip():
        value, at = decoder.raw_decode(text)
        yield value

"""What plays one VM, and has the judge.

It plays episodes: it writes a new pattern to the disks, lets clients take, load and delete snapshots at once, lets a fault
strike at a random moment among them, and compares what is there then with what must be.
"""

import signal
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Final

from tests.integration.faults.disks import is_internal, look_at
from tests.soak import faults
from tests.soak.askers import ASKERS, Asker, modern
from tests.soak.looks import is_tidy, own_jobs, seen_on, wait_until
from tests.soak.oracle import Answer, Asked, Command, Damage, Judge, Kept, Verb, Violation
from tests.soak.play import Moment, NobodyThereError, Play
from tests.soak.scene import DEADLINE_S, Machine
from tests.support.raw_client import ConnectionLostError, RawClient

__all__ = ["Driver"]

# No crash of its own is known of it, but in `cont`.
_SOUND_MAJOR: Final = 8
_TAGS: Final = "abcde"
_UNUSED_TAG: Final = "f"
_PATTERNS: Final = range(1, 251)
# Clients at once, and commands of each: few orders explain few answers.
_CROWDS: Final = (1, 1, 1, 2, 2, 3)
_MOST_COMMANDS: Final = 4
_LATEST_STRIKE_S: Final = 0.3
_VERBS: Final = (Verb.SAVE, Verb.SAVE, Verb.SAVE, Verb.LOAD, Verb.LOAD, Verb.DELETE)
# What the proxy says when a monitor that it does not know of came between its look and its job: the command was not run. Where
# it came between the deletion and the save of one that replaces a tag, that much was.
_NOT_RUN: Final = "another monitor changed the VM's disks or snapshots meanwhile"
_DELETED: Final = "is gone or not whole"
# A load that the proxy refuses: QEMU would crash at the next `cont`.
_LOADED_TWICE: Final = "was loaded already and has not run since"
_LOST: Final = (ConnectionLostError, ConnectionError)
# These leave before their answers, whatever happens.
_LEAVING: Final = frozenset({"forgetting", "resetting", "prompt"})


class Driver:
    """Plays one VM. What must be on its disks is in `judge`."""

    def __init__(self, play: Play, machine: Machine) -> None:
        self.play = play
        self.machine = machine
        self.judge = Judge(machine.profile.name, machine.profile.disks)
        self._rng = play.rng(machine.profile.name)
        self._pattern = 0
        # What was asked for in this episode.
        self._asked: list[list[Asked]] = []
        # Of commands whose clients do not know what became of them.
        self._unknown: list[str] = []
        # The observer's `cont` is under way.
        self._is_in_cont = False

    def episode(self) -> None:
        """Play one. Raises Violation."""
        before = self.play.moment(self.machine)
        self._asked = []
        try:
            self._play_episode()
        except (ConnectionLostError, ConnectionError, NobodyThereError) as exc:
            # Only the observer's connection is not expected to end, and only a VM that runs is connected to.
            if not self.play.explains_end(before, self.machine):
                raise Violation(self.judge.where, "a connection to QEMU", repr(exc)) from exc
            self._after_end("")

    def _play_episode(self) -> None:
        self.write()
        fault = self._choose_fault()
        self.play.count(f"episode with {fault}" if fault else "episode without a fault of its own")
        before, lost = self.play.moment(self.machine), self.play.book.lost
        with self.machine.full_disk() if fault == "disk full" else nullcontext():
            self._play_clients(self._crowd(), fault)
        if self.play.moment(self.machine).qemu_ends != before.qemu_ends:
            self._after_end(fault)
            return
        self._settle(lambda: self.play.scene.proxy.ends != before.proxy_ends or self.play.book.lost != lost)
        if fault == "disk full":
            self._clean_up(Damage(self._asked))
            self._renew_lists()
            self.write()
        else:
            self.judge.ask(self._asked)
        self.see(self._asked)

    def look_closely(self) -> None:
        """End the VM in order, compare the content of every snapshot, and start it again. Raises Violation."""
        self.machine.end(signal.SIGTERM)
        self.machine.wait_gone()
        self.judge.examine(look_at(self.machine.folder, *self.machine.profile.images))
        self.machine.start()

    def check_jobs(self) -> None:
        """See that no job of the proxy's is left. Raises Violation."""
        if jobs := own_jobs(self.machine.observer):
            raise Violation(self.judge.where, "no job of the proxy's", jobs)

    # The clients and the fault

    def _choose_fault(self) -> str:
        (fault,) = self._rng.choices(list(faults.VM_FAULTS), list(faults.VM_FAULTS.values()))
        return "" if fault == "disk full" and not self.machine.is_mounted else fault

    def _crowd(self) -> list[tuple[str, Asker, list[Command]]]:
        """Choose who comes, and with what."""
        crowd: list[tuple[str, Asker, list[Command]]] = []
        left = _MOST_COMMANDS
        for _ in range(self._rng.choice(_CROWDS)):
            if self._rng.random() < 0.15:
                crowd.append(("modern", modern, [Command(Verb.JOB, self._tag(), self.play.new_id())]))
                left -= 1
                continue
            name = self._rng.choice(list(ASKERS))
            commands = [self._command() for _ in range(self._rng.randint(1, 2)) if left > 0]
            left -= len(commands)
            if commands:
                crowd.append((name, ASKERS[name], commands))
        return crowd

    def _tag(self) -> str:
        return self._rng.choice(_TAGS)

    def _command(self) -> Command:
        verb, tag = self._rng.choice(_VERBS), self._tag()
        return Command(verb, tag, self.play.new_key(f"{verb} {tag}"))

    def _play_clients(self, crowd: Sequence[tuple[str, Asker, list[Command]]], fault: str) -> None:
        before = self.play.moment(self.machine)
        delay_s = self._rng.uniform(0, _LATEST_STRIKE_S)
        with ThreadPoolExecutor(len(crowd)) as pool:
            coming = [pool.submit(self._ask, asker, commands) for _, asker, commands in crowd]
            faults.pause(delay_s)
            own = self._strike(fault)
            asked = [future.result() for future in coming]
        self._unknown.clear()
        for (name, _, _), answers in zip(crowd, asked, strict=True):
            self._note(name, answers, before)
        self._asked = [[_as_run(one) for one in answers if _is_run(one)] for answers in [*asked, own]]
        if any(_DELETED in one.text for answers in asked for one in answers):
            self._delete(())

    def _ask(self, asker: Asker, commands: Sequence[Command]) -> list[Asked]:
        try:
            return asker(self.machine, self._connect, commands)
        except NobodyThereError:
            return [Asked(command, Answer.UNKNOWN) for command in commands]

    def _connect(self) -> RawClient:
        return self.play.connect(self.machine, waits_for_start=False)

    def _strike(self, fault: str) -> list[Asked]:
        """Let a fault strike. Returns what was asked by it."""
        match fault:
            case "SIGKILL to QEMU":
                self.machine.end(signal.SIGKILL)
            case "SIGTERM to QEMU":
                self.machine.end(signal.SIGTERM)
            case "QEMU frozen":
                faults.freeze(self.machine, self._rng)
            case "another monitor":
                command = Command(Verb.JOB, self._tag(), self.play.new_id())
                return faults.another_monitor(self.machine, command)
        return []

    def _note(self, name: str, answers: Sequence[Asked], before: Moment) -> None:
        for one in answers:
            self.play.count(f"{one.command.verb}: {one.answer.value}")
            is_cut_off = one.answer is Answer.UNKNOWN and name not in _LEAVING
            if is_cut_off and not self.play.explains_end(before, self.machine):
                raise Violation(self.judge.where, "an answer", f"{one} of a client that is {name!r}: cut off without a reason")
            # The prompt makes a line of its own of what it is given, and has seen the end of it.
            if name != "prompt":
                (self._unknown if one.answer is Answer.UNKNOWN else self.play.answered).append(one.command.key)
        self.play.count(f"snapshots asked for: {name}")

    # Afterwards

    def _settle(self, may_lack_records: Callable[[], bool]) -> None:
        """Wait until all that was asked has come out, also where its client does not know."""
        for key in self._unknown:
            self._wait_for(f"a record of {key!r}", partial(self._has_come_out, key, may_lack_records))
        self._wait_for_proxy()
        self._wait_for("no job and no internal tag is left", lambda: is_tidy(self.machine.observer))

    def _has_come_out(self, key: str, may_lack_records: Callable[[], bool]) -> bool:
        return self.play.book.has(key) or may_lack_records()

    def _wait_for(self, what: str, condition: Callable[[], bool]) -> None:
        wait_until(self.judge.where, what, condition, DEADLINE_S)

    def _wait_for_proxy(self) -> None:
        """Wait until a proxy serves, which it does when it has dealt with what an earlier one left."""
        while True:
            try:
                with self._connect() as client:
                    client.negotiate()
                    client.returned("query-status")
                    return
            except _LOST:
                continue

    def see(self, asked: Sequence[Sequence[Asked]]) -> None:
        """Compare what a running VM has with what must be. asked: what was asked for before. Raises Violation."""
        observer = self.machine.observer
        state = observer.returned("query-status")["status"]
        if state != "running":
            # HMP leaves a VM stopped whose loadvm failed.
            loads = [one for sequence in asked for one in sequence if one.command.verb is Verb.LOAD]
            if all(one.answer is Answer.DONE for one in loads):
                raise Violation(self.judge.where, "it runs", f"it is {state}")
            self._resume()
        self.judge.see(seen_on(self.machine.folder, observer, self.machine.profile.images))

    def _resume(self) -> None:
        self._is_in_cont = True
        self.machine.observer.returned("cont")
        self._is_in_cont = False

    def _after_end(self, fault: str) -> None:
        """Look at the disks of a VM that has ended, start it again, and be rid of what may be half done."""
        self.machine.wait_gone()
        damage = Damage(self._asked)
        if self.machine.crash is not None:
            self._check_crash()
        elif fault == "SIGTERM to QEMU" or self.machine.profile.is_safe:
            damage = Damage(self._asked, Kept.A_COPY)
        self.judge.examine_damage(look_at(self.machine.folder, *self.machine.profile.images), damage)
        self.machine.start()
        self._wait_for_proxy()
        self._clean_up(damage)
        self.write()
        self.see([])

    def _check_crash(self) -> None:
        """See that it is a crash of QEMU's own, which counts as a kill. Raises Violation.

        QEMU 7.2.22 dies where snapshot jobs of two monitors meet: without a proxy in 13 of 35 runs of 40 jobs each. And it dies
        in `cont`, as 11.1.3 does, too, where another monitor has loaded a stopped VM with a varstore twice.
        """
        is_in_cont, self._is_in_cont = self._is_in_cont, False
        self.play.count("QEMU crashed by itself in cont" if is_in_cont else "QEMU crashed by itself")
        if self.machine.crash != -signal.SIGSEGV or (self.machine.qemu_major >= _SOUND_MAJOR and not is_in_cont):
            raise Violation(
                self.judge.where, "QEMU runs", f"exit status {self.machine.crash}: {self.machine.vm.stderr[-2000:]}"
            )

    def _clean_up(self, damage: Damage) -> None:
        """Delete the tags that may be half done, and the proxy's own copies of them."""
        self._delete(damage.touched)
        self.judge.forget(damage)

    def _delete(self, tags: Iterable[str]) -> None:
        """Delete these tags, and the proxy's own copies of any, which it leaves where it could not replace a tag."""
        seen = seen_on(self.machine.folder, self.machine.observer, self.machine.profile.images)
        internal = {tag for found in seen.tags for tag in found if is_internal(tag)}
        for tag in sorted({*tags, *internal}):
            self.play.ask_for(self.machine, f"delvm {tag}")

    def _renew_lists(self) -> None:
        """Have QEMU write the lists of snapshots anew.

        A snapshot that it could not take out of an image's list, for want of space, it has forgotten all the same: `delvm`
        does nothing then, and only the next list that it writes is without it (seen on 7.2 and 11.1).
        """
        for verb in (Verb.SAVE, Verb.DELETE):
            self.play.ask_for(self.machine, f"{verb} {_UNUSED_TAG}")

    def write(self) -> None:
        """Write another pattern to all disks, by the proxy or by QEMU's other monitor."""
        self._pattern = self._pattern % _PATTERNS[-1] + 1
        for device in self.machine.profile.images.values():
            line = f'qemu-io {device} "write -q -P {self._pattern} 0 64k"'
            if self._rng.random() < 0.5:
                self.play.ask_for(self.machine, line)
            else:
                self.machine.observer.hmp(line)
            self.machine.observer.hmp(f"qemu-io {device} flush")
        self.judge.write(self._pattern)


def _is_run(asked: Asked) -> bool:
    return _LOADED_TWICE not in asked.text and (_NOT_RUN not in asked.text or _DELETED in asked.text)


def _as_run(asked: Asked) -> Asked:
    """Return what an answer says was run."""
    if _DELETED in asked.text:
        return Asked(replace(asked.command, verb=Verb.DELETE), Answer.UNKNOWN)
    return asked

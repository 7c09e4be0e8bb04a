"""Which snapshots must exist, and what they hold: a model of HMP's commands that knows no QEMU and no proxy.

HMP's commands are atomic, so whatever several clients sent at once has come out as if they had been sent in some order. An
answer says that its command has run; a client that was cut off, or that left, does not know whether its own has. The judge
keeps all states that are possible by that, and each look at the disks leaves those that fit. When none fits, something was
lost, or is wrong.

Contents are the numbers of patterns that were written to the start of each disk.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from tests.integration.faults.disks import Disk, Disks, is_internal

__all__ = ["Answer", "Asked", "Command", "Damage", "Judge", "Kept", "Seen", "State", "Verb", "Violation"]


class Violation(Exception):
    """What is there is not what must be. where: the VM, or the proxy."""

    def __init__(self, where: str, expected: object, found: object) -> None:
        super().__init__(where, expected, found)
        self.where, self.expected, self.found = where, expected, found

    def __str__(self) -> str:
        return f"{self.where}:\n  expected: {self.expected}\n  found:    {self.found}"


class Verb(StrEnum):
    """JOB: QMP's own snapshot-save, which refuses a tag that exists."""

    SAVE = "savevm"
    LOAD = "loadvm"
    DELETE = "delvm"
    JOB = "snapshot-save"


class Answer(Enum):
    """What a client knows of its command. UNKNOWN: nothing, because it was cut off or left before its answer."""

    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Kept(Enum):
    """What must be left of a tag that existed when QEMU ended in the middle of a savevm over it.

    NOTHING: QEMU itself would have lost it. A_COPY: a whole snapshot, old or new, under the tag or an internal one.
    """

    NOTHING = "nothing"
    A_COPY = "a copy"


@dataclass(frozen=True, slots=True)
class Command:
    """key: no other command of the run has it, so that its record can be found."""

    verb: Verb
    tag: str
    key: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A command and what its client knows. text: of a failure."""

    command: Command
    answer: Answer
    text: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """What the disks hold: now, and under each tag."""

    current: int
    tags: frozenset[tuple[str, int]] = frozenset()

    @property
    def contents(self) -> dict[str, int]:
        return dict(self.tags)

    def after(self, command: Command) -> tuple["State", bool]:
        """Return the state after a command, and whether that succeeds."""
        contents = self.contents
        exists = command.tag in contents
        match command.verb:
            case Verb.LOAD:
                return (State(contents[command.tag], self.tags) if exists else self), exists
            case Verb.DELETE:
                contents.pop(command.tag, None)
                exists = True  # HMP does not mind a tag that is on no disk
            case Verb.JOB if exists:
                return self, False
            case Verb.SAVE | Verb.JOB:
                contents[command.tag], exists = self.current, True
        return State(self.current, frozenset(contents.items())), exists


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at a running VM shows, disk by disk: the tags, each as often as it is there, and the current pattern."""

    tags: tuple[tuple[str, ...], ...]
    patterns: tuple[int, ...]

    def fits(self, state: State) -> bool:
        tags = tuple(sorted(state.contents))
        return all(one == tags for one in self.tags) and all(one == state.current for one in self.patterns)


@dataclass(frozen=True, slots=True)
class Damage:
    """QEMU ended, or its disk was full, in the middle of commands: their tags may be half done, and no other may be."""

    asked: Sequence[Sequence[Asked]]
    kept: Kept = Kept.NOTHING

    @property
    def commands(self) -> list[Command]:
        return [asked.command for one in self.asked for asked in one]

    @property
    def touched(self) -> frozenset[str]:
        return frozenset(command.tag for command in self.commands)


@dataclass(slots=True)
class Judge:
    """Judges one VM. disks: how many it has."""

    where: str
    disks: int
    states: frozenset[State] = field(default_factory=lambda: frozenset({State(0)}))

    def write(self, pattern: int) -> None:
        """Note that this was written to all disks."""
        self.states = frozenset(State(pattern, state.tags) for state in self.states)

    def ask(self, asked: Sequence[Sequence[Asked]]) -> None:
        """Note what clients asked for at once, each one's in its order. Raises Violation if no order explains the answers."""
        found = frozenset(after for state in self.states for after in _outcomes(state, [tuple(one) for one in asked]))
        if not found:
            raise Violation(self.where, f"answers as of some order of these, from {self.told()}", _spelled(asked))
        self.states = found

    def see(self, seen: Seen) -> None:
        """Keep the states that fit what is there. Raises Violation if none does."""
        found = frozenset(filter(seen.fits, self.states))
        if not found:
            raise Violation(self.where, f"one of {self.told()}", seen)
        self.states = found

    def examine(self, disks: Disks) -> None:
        """Compare every snapshot's content on disks that no QEMU has open. Raises Violation."""
        found = frozenset(state for state in self.states if all(_holds(state, disks, image) for image in disks))
        if not found or len(disks) != self.disks:
            raise Violation(self.where, f"one of {self.told()}", disks)
        self.states = found

    def examine_damage(self, disks: Disks, damage: Damage) -> None:
        """Compare what was not touched, and see that nothing else came of what was. Raises Violation.

        Afterwards delete the touched tags and `forget` them, and `write`: neither is known any more.
        """
        untouched = _without(self.states, damage.touched)
        found = frozenset(state for state in untouched if all(_holds_beside(state, disks[image], damage) for image in disks))
        if not found:
            raise Violation(self.where, f"beside {_spelled(damage.asked)}: one of {_told(untouched)}", disks)
        self._examine_touched(disks, damage)

    def forget(self, damage: Damage) -> None:
        """Note that the touched tags were deleted."""
        self.states = _without(self.states, damage.touched)

    def _examine_touched(self, disks: Disks, damage: Damage) -> None:
        currents = {state.current for state in self.states}
        loaded = {command.tag for command in damage.commands if command.verb is Verb.LOAD}
        currents |= {content for state in self.states for tag, content in state.tags if tag in loaded}
        for tag in damage.touched:
            allowed = currents | {state.contents[tag] for state in self.states if tag in state.contents}
            copies = [{kept.content for kept in disk.kept if _is_of(kept.tag, tag)} for disk in disks.values()]
            if not all(contents <= allowed for contents in copies):
                raise Violation(self.where, f"{tag} with one of {allowed}", disks)
            if self._must_be_kept(tag, damage) and not frozenset.intersection(*map(frozenset, copies)):
                raise Violation(self.where, f"a copy of {tag} with one of {allowed} on each disk", disks)

    def _must_be_kept(self, tag: str, damage: Damage) -> bool:
        deletes = any(command.verb is Verb.DELETE and command.tag == tag for command in damage.commands)
        existed = all(tag in state.contents for state in self.states)
        return damage.kept is Kept.A_COPY and existed and not deletes

    def told(self) -> str:
        return _told(self.states)


def _without(states: frozenset[State], tags: frozenset[str]) -> frozenset[State]:
    return frozenset(State(state.current, frozenset(one for one in state.tags if one[0] not in tags)) for state in states)


def _outcomes(state: State, waiting: Sequence[tuple[Asked, ...]]) -> Iterator[State]:
    """Return the states after all orders of what waits that explain the answers."""
    if not any(waiting):
        yield state
    for at, (asked, *rest) in ((at, one) for at, one in enumerate(waiting) if one):
        others = [*waiting[:at], tuple(rest), *waiting[at + 1 :]]
        after, succeeds = state.after(asked.command)
        if asked.answer is Answer.UNKNOWN:
            yield from _outcomes(state, others)
        if asked.answer in (Answer.UNKNOWN, Answer.DONE if succeeds else Answer.FAILED):
            yield from _outcomes(after, others)


def _holds(state: State, disks: Disks, image: str) -> bool:
    found = [(kept.tag, kept.content) for kept in disks[image].kept]
    return disks[image].content == state.current and sorted(found) == sorted(state.tags) and _has_vm_states(disks)


def _has_vm_states(disks: Disks) -> bool:
    """Tell whether each tag has one VM state."""
    tags = {kept.tag for disk in disks.values() for kept in disk.kept}
    return all(sum(kept.has_vm_state for disk in disks.values() for kept in disk.tagged(tag)) == 1 for tag in tags)


def _holds_beside(state: State, disk: Disk, damage: Damage) -> bool:
    found = [(kept.tag, kept.content) for kept in disk.kept if not any(_is_of(kept.tag, tag) for tag in damage.touched)]
    return sorted(found) == sorted(state.tags)


def _is_of(found: str, tag: str) -> bool:
    """Tell whether a tag is this one, or the internal one of it."""
    return found == tag or (is_internal(found) and found.endswith(f"-{tag}"))


def _told(states: frozenset[State]) -> str:
    return " or ".join(
        f"{{now: {state.current}, {', '.join(f'{tag}: {content}' for tag, content in sorted(state.tags))}}}" for state in states
    )


def _spelled(asked: Sequence[Sequence[Asked]]) -> str:
    return " | ".join(
        "; ".join(f"{one.command.verb} {one.command.tag} -> {one.answer.value} {one.text}".strip() for one in sequence)
        for sequence in asked
    )

"""The judge: what is possible, and that it sees what is lost, wrong, doubled or answered wrongly."""

import re
from typing import Final

import pytest

from tests.integration.faults.disks import Disk, Kept
from tests.soak import oracle
from tests.soak.oracle import Answer, Asked, Command, Damage, Judge, Seen, State, Verb, Violation

UNKNOWN: Final = Answer.UNKNOWN
KEPT: Final = State(3, frozenset({("a", 1), ("b", 2)}))


def asked(line: str, answer: Answer = Answer.DONE) -> Asked:
    verb, tag = line.split()
    return Asked(Command(Verb(verb), tag, line), answer)


def a_judge(state: State = KEPT, *, disks: int = 1) -> Judge:
    return Judge("vm", disks, frozenset({state}))


def seen(*tags: str, pattern: int = 3, disks: int = 1) -> Seen:
    return Seen((tags,) * disks, (pattern,) * disks)


def disk(content: int = 3, **tags: int) -> Disk:
    """Return a disk that has the VM state of its snapshots."""
    return Disk(content, tuple(Kept(tag.replace("_", "-"), True, pattern) for tag, pattern in tags.items()))


@pytest.mark.parametrize(
    ("line", "after", "succeeds"),
    [
        ("savevm c", State(3, KEPT.tags | {("c", 3)}), True),
        ("savevm a", State(3, frozenset({("a", 3), ("b", 2)})), True),
        ("snapshot-save c", State(3, KEPT.tags | {("c", 3)}), True),
        ("snapshot-save a", KEPT, False),
        ("loadvm a", State(1, KEPT.tags), True),
        ("loadvm c", KEPT, False),
        ("delvm a", State(3, frozenset({("b", 2)})), True),
        ("delvm c", KEPT, True),
    ],
)
def test_state_after_a_command(line: str, after: State, succeeds: bool) -> None:
    assert KEPT.after(asked(line).command) == (after, succeeds)


def test_all_orders_of_two_clients_are_possible() -> None:
    judge = a_judge()
    judge.ask([[asked("savevm a")], [asked("loadvm b")]])
    assert judge.states == {State(2, frozenset({("a", 3), ("b", 2)})), State(2, frozenset({("a", 2), ("b", 2)}))}


def test_one_client_keeps_its_order() -> None:
    judge = a_judge()
    judge.ask([[asked("loadvm a"), asked("savevm c")]])
    assert judge.states == {State(1, KEPT.tags | {("c", 1)})}


def test_unknown_answer_leaves_both_possible_until_a_look() -> None:
    judge = a_judge()
    judge.ask([[asked("delvm a", UNKNOWN)]])
    assert judge.states == {KEPT, State(3, frozenset({("b", 2)}))}
    judge.see(seen("b"))
    assert judge.states == {State(3, frozenset({("b", 2)}))}


@pytest.mark.parametrize("wrong", [asked("loadvm c"), asked("savevm a", Answer.FAILED), asked("snapshot-save a")], ids=str)
def test_answer_that_no_order_explains_is_seen(wrong: Asked) -> None:
    with pytest.raises(Violation, match="answers as of some order"):
        a_judge().ask([[wrong]])


@pytest.mark.parametrize(
    "found",
    [
        seen("a"),
        seen("a", "b", "c"),
        seen("a", "a", "b"),
        seen("a", "b", pattern=1),
        Seen((("a", "b"), ("a",)), (3, 3)),
        Seen((("a", "b"), ("a", "b")), (3, 1)),
        seen("a", "b", "hmpshim-1-a"),
    ],
    ids=["lost", "more", "twice", "another content", "lost on one disk", "another content on one disk", "left over"],
)
def test_look_at_a_running_vm_sees_what_is_wrong(found: Seen) -> None:
    with pytest.raises(Violation, match=re.escape("one of {now: 3, a: 1, b: 2}")):
        a_judge().see(found)


def test_write_is_known() -> None:
    judge = a_judge()
    judge.write(9)
    judge.see(seen("a", "b", pattern=9))


def test_close_look_agrees() -> None:
    a_judge(disks=2).examine({"d0": disk(a=1, b=2), "d1": Disk(3, (Kept("a", False, 1), Kept("b", False, 2)))})


@pytest.mark.parametrize(
    "found",
    [
        disk(a=1),
        disk(a=1, b=1),
        disk(2, a=1, b=2),
        disk(a=1, b=2, hmpshim_1_a=1),
        Disk(3, (Kept("a", False, 1), Kept("b", True, 2))),
    ],
    ids=["lost", "another content", "another current content", "left over", "without VM state"],
)
def test_close_look_sees_what_is_wrong(found: Disk) -> None:
    with pytest.raises(Violation):
        a_judge().examine({"d0": found})


def test_close_look_wants_all_disks() -> None:
    with pytest.raises(Violation):
        a_judge(disks=2).examine({"d0": disk(a=1, b=2)})


class TestDamage:
    """QEMU was ended in the middle of a savevm of `a`."""

    DAMAGE: Final = Damage([[asked("savevm a", UNKNOWN)]])

    @pytest.mark.parametrize(
        "found",
        [disk(a=1, b=2), disk(a=3, b=2), disk(b=2), disk(b=2, hmpshim_1_a=3), disk(7, b=2)],
        ids=["old", "new", "none", "a copy", "another current content"],
    )
    def test_its_tag_may_be_half_done(self, found: Disk) -> None:
        judge = a_judge()
        judge.examine_damage({"d0": found}, self.DAMAGE)
        judge.forget(self.DAMAGE)
        judge.write(4)
        assert judge.states == {State(4, frozenset({("b", 2)}))}

    @pytest.mark.parametrize(
        "found",
        [disk(a=1), disk(a=1, b=1), disk(a=7, b=2), disk(b=2, hmpshim_1_b=2)],
        ids=["other lost", "other has another content", "content that never was", "copy of the other"],
    )
    def test_nothing_else_may(self, found: Disk) -> None:
        with pytest.raises(Violation):
            a_judge().examine_damage({"d0": found}, self.DAMAGE)

    def test_load_at_hand_may_have_been_saved(self) -> None:
        damage = Damage([[asked("loadvm b", UNKNOWN), asked("savevm a", UNKNOWN)]])
        a_judge().examine_damage({"d0": disk(a=2, b=2)}, damage)

    def test_copy_must_be_kept(self) -> None:
        damage = Damage(self.DAMAGE.asked, oracle.Kept.A_COPY)
        a_judge().examine_damage({"d0": disk(b=2, hmpshim_1_a=1)}, damage)
        with pytest.raises(Violation, match="a copy of a"):
            a_judge().examine_damage({"d0": disk(b=2)}, damage)
        with pytest.raises(Violation, match="a copy of a"):
            a_judge(disks=2).examine_damage({"d0": disk(a=1, b=2), "d1": disk(b=2)}, damage)

    def test_copy_need_not_be_kept_where_the_tag_is_new_or_deleted(self) -> None:
        new, deleted = [asked("savevm c", UNKNOWN)], [asked("savevm a", UNKNOWN), asked("delvm a", UNKNOWN)]
        a_judge().examine_damage({"d0": disk(a=1, b=2)}, Damage([new], oracle.Kept.A_COPY))
        a_judge().examine_damage({"d0": disk(b=2)}, Damage([deleted], oracle.Kept.A_COPY))

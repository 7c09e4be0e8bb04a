"""The operator's limits in the proxy: what clients get, what QEMU gets, and what is on record, for each action of a record."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from proxy.sessions.session import Session
from shim.graph.free_space import FreeSpace
from shim.graph.policy import Mode, Policy, WhenFull
from shim.plans.plan import Step
from shim.plans.saving import HMP_REPLACES
from shim.records.audit import Action, AuditRecord
from shim.records.audit_form import to_members
from tests.support.routing.pure_router import Desk, ManualClock, hmp

LIMITS: Final = Policy(
    max_snapshots=2,
    when_full=WhenFull.DELETE_OLDEST,
    delete_prefix="auto-",
    protect=frozenset({"golden*"}),
    protect_load=frozenset({"secret"}),
)
KEPT: Final = "snapshot 'golden' is protected (setting protect), so it is not deleted; take it out of protect to delete it"
CUT: Final = "QEMU would cut the tag to 255 bytes, so no limit on snapshots could be enforced; use a shorter one"
PROTECTED: Final = "snapshot 'golden' is protected (setting protect), so it is not replaced; use another tag"


def qmp(execute: str, **arguments: object) -> bytes:
    return json.dumps({"execute": execute, "arguments": arguments}).encode() + b"\n"


def a_desk(*tags: str, policy: Policy = LIMITS, **options: Any) -> tuple[Desk, Session]:
    desk = Desk(policy=policy, **options)
    for tag in tags:
        desk.qemu.vm.save_snapshot(tag, overwrite=False)
    return desk, desk.client()


def tags(desk: Desk) -> list[str]:
    return [snapshot.name for snapshot in desk.qemu.vm.graph["d0"].snapshots]


def asked(desk: Desk, client: Session, command: bytes) -> tuple[Any, AuditRecord]:
    """Return what the client got, without events, and the last record."""
    desk.send(client, command)
    desk.run()
    (answer,) = [value for value in desk.heard(client) if "event" not in value]
    return answer, desk.records[-1]


def sent(record: AuditRecord) -> list[tuple[str, str]]:
    """Return the jobs that stand in the record's JSON form."""
    members = to_members(record, host="h")
    return [(one["execute"], one["arguments"]["tag"]) for one in members["qmp"] if one["execute"].startswith("snapshot-")]


def test_rewritten_has_the_deletion_and_says_why() -> None:
    desk, client = a_desk("auto-1", "auto-2")
    answer, record = asked(desk, client, hmp("savevm auto-3"))
    assert answer == {"return": ""}
    assert record.action is Action.REWRITTEN
    assert record.reason == "done by snapshot jobs; snapshot 'auto-1' was deleted for it (max_snapshots)"
    assert sent(record) == [("snapshot-save", "auto-3"), ("snapshot-delete", "auto-1")]
    assert tags(desk) == ["auto-2", "auto-3"]
    assert desk.notes == []


@pytest.mark.parametrize(
    ("there", "line", "reason"),
    [
        (("golden",), "savevm golden", PROTECTED),
        (("golden",), "delvm golden", KEPT),
        (
            ("secret",),
            "loadvm secret",
            "snapshot 'secret' may not be loaded (setting protect_load); take it out of protect_load to load it",
        ),
        (
            *(("a", "b"), "savevm c"),
            "the VM has 2 snapshots, and the setting max_snapshots allows 2; "
            "there is none whose tag begins with delete_prefix and is not protected, so delete one (delvm)",
        ),
        (
            (),
            f"savevm {'é' * 600}",
            CUT,
        ),
    ],
)
def test_refused_says_why_and_nothing_is_changed(there: tuple[str, ...], line: str, reason: str) -> None:
    desk, client = a_desk(*there)
    answer, record = asked(desk, client, hmp(line))
    assert answer == {"return": f"Error: {reason}\r\n"}
    assert (record.action, record.reason, record.has_failed) == (Action.REFUSED, reason, True)
    assert sent(record) == []
    assert tags(desk) == list(there)


def test_refused_for_want_of_room() -> None:
    class Host(ManualClock):
        def clock(self) -> Any:
            return replace(super().clock(), free_space=lambda path: FreeSpace(1024))

    desk, client = a_desk(policy=Policy(check_space=True), clock=Host())
    for node in desk.qemu.vm.graph.nodes:
        node.filename = f"/images/{node.name}"
    answer, record = asked(desk, client, hmp("savevm t"))
    assert answer["return"].startswith("Error: not enough room for the VM's RAM: it may take 32 MiB, and the file system of ")
    assert record.action is Action.REFUSED
    assert tags(desk) == []


def test_refused_is_also_what_fails_here_before_anything_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours is no way around a limit; where there is none, QEMU gets the command."""

    def plan(*_: object) -> Iterator[Step]:
        raise ValueError("ours")
        yield

    monkeypatch.setattr("shim.plans.snapshot_plans.plan", plan)
    desk, client = a_desk("golden", "secret")
    for line in ("delvm golden", "savevm x", "loadvm secret"):
        answer, record = asked(desk, client, hmp(line))
        assert answer["return"].startswith("Error: hmpshim has failed before it changed anything")
        assert record.action is Action.REFUSED
    assert tags(desk) == ["golden", "secret"]
    for policy in (Policy(), replace(LIMITS, mode=Mode.OBSERVE)):
        desk, client = a_desk("golden", policy=policy)
        assert asked(desk, client, hmp("delvm golden"))[0] == {"return": ""}
        assert tags(desk) == []


def test_delegated_is_no_way_around_and_adds_none() -> None:
    desk, client = a_desk("golden", "t")
    answer, record = asked(desk, client, hmp("savevm t"))
    assert answer == {"return": ""}
    assert (record.action, record.reason) == (Action.DELEGATED, HMP_REPLACES)
    assert asked(desk, client, hmp("savevm golden"))[1].action is Action.REFUSED
    assert tags(desk) == ["golden", "t"]


def test_passed_is_what_no_limit_speaks_against() -> None:
    desk, client = a_desk("golden")
    for line in ("info snapshots", "savevm a b", "info version"):
        assert asked(desk, client, hmp(line))[1].action is Action.PASSED


def test_observed_holds_nobody_back_and_says_what_would_have_been() -> None:
    desk, client = a_desk("golden", policy=replace(LIMITS, mode=Mode.OBSERVE))
    answer, record = asked(desk, client, hmp("delvm golden"))
    assert answer == {"return": ""}
    assert record.action is Action.OBSERVED
    assert record.rehearsed is not None
    assert (record.rehearsed.outcome, record.rehearsed.agreed) == (KEPT, False)
    assert tags(desk) == []
    assert asked(desk, client, qmp("snapshot-delete", tag="golden"))[1].action is Action.MODERN


def test_begun_comes_before_a_refusal_of_a_plan() -> None:
    begun: list[AuditRecord] = []
    desk, client = a_desk("golden", announce=lambda record: begun.append(record))
    _, record = asked(desk, client, hmp("delvm golden"))
    assert [one.action for one in (*begun, record)] == [Action.BEGUN, Action.REFUSED]


@pytest.mark.parametrize(
    "command",
    [
        qmp("snapshot-delete", **{"job-id": "j", "tag": "golden", "devices": ["d0"]}),
        qmp("blockdev-snapshot-delete-internal-sync", device="d0", name="golden"),
        b"{'execute':'snapshot\\u002ddelete','arguments':{'job-id':'j','tag':'gold\\u0065n','devices':['d0']}}",
    ],
    ids=["job", "sync", "spelled"],
)
def test_qmps_own_deletion_of_a_protected_tag_is_an_error(command: bytes) -> None:
    desk, client = a_desk("golden")
    answer, record = asked(desk, client, command)
    assert answer == {"error": {"class": "GenericError", "desc": KEPT}}
    assert (record.action, record.reason, record.has_failed) == (Action.REFUSED, KEPT, True)
    assert tags(desk) == ["golden"]


def test_modern_is_every_other_one() -> None:
    desk, client = a_desk("golden", "t")
    _, record = asked(desk, client, qmp("snapshot-delete", **{"job-id": "j", "tag": "t", "devices": ["d0"]}))
    assert record.action is Action.MODERN
    assert tags(desk) == ["golden"]


def test_abandoned_deletes_nothing() -> None:
    desk, client = a_desk("auto-1", "auto-2")
    desk.turns.hold("somebody")
    desk.send(client, hmp("savevm t"))
    desk.dispatcher.abandonment.receive_hang_up(client)
    desk.take()
    assert desk.records[-1].action is Action.ABANDONED
    assert tags(desk) == ["auto-1", "auto-2"]

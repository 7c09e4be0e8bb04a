"""The first refusals of a minute stand alone, and of the further ones each is counted once."""

import random
from collections import Counter
from typing import Any

import pytest

from host.audit_log.refusals import Due, Refusals
from shim.client import Client
from shim.hmp.line import HMPLine
from shim.qmp import Execute
from shim.records.audit import Action, AuditRecord, SentCommand
from shim.records.identity import Identified, Identity
from tests.support.routing.pure_router import NOW


def a_record(line: str | None = "stop", action: Action = Action.REFUSED, **members: Any) -> AuditRecord:
    client = Client(members.pop("pid", 1), members.pop("uid", 2), members.pop("exe", "/bin/tool"), members.pop("address", None))
    return AuditRecord(
        NOW,
        members.pop("vm", "vm1"),
        client,
        None if line is None else HMPLine.read(line),
        action,
        "no",
        None,
        1,
        client_gone=False,
        **members,
    )


def due(record: AuditRecord, repeated: int = 0) -> Due:
    return {"command_line": record.command_line, "hmp_command": record.hmp_command}, repeated


def written(refusals: Refusals, records: list[AuditRecord], now_s: float = 0.0) -> list[Due]:
    found: list[Due] = []
    for record in records:
        earlier, is_due = refusals.take(record, due(record)[0], now_s)
        found += [*earlier, *[due(record)] * is_due]
    return found


def test_first_ones_stand_alone_and_the_last_stands_for_the_others() -> None:
    refusals = Refusals()
    records = [a_record(f"stop {number}") for number in range(100)]
    assert written(refusals, records) == [due(record) for record in records[:10]]
    assert written(refusals, [a_record(action=Action.PASSED)], 59.9) == [due(a_record())]
    later = a_record(action=Action.PASSED)
    assert written(refusals, [later], 60.0) == [due(records[-1], 89), due(later)]
    assert refusals.take_all() == []


def test_next_minute_begins_anew() -> None:
    refusals = Refusals()
    assert len(written(refusals, [a_record()] * 15)) == 10
    assert len(written(refusals, [a_record()] * 15, 60.0)) == 11
    assert refusals.take_all() == [due(a_record(), 4)]


@pytest.mark.parametrize(
    "other",
    [
        a_record("quit"),
        a_record(uid=3),
        a_record(exe="/bin/other"),
        a_record(vm="vm2"),
        a_record(address="192.0.2.1:5"),
        a_record(None, execute="snapshot-save"),
        a_record(None, Action.WENT_ON, execute="cont"),
        a_record("info status"),
        a_record(identify=Identified(Identity(tool="nightly.py"))),
        a_record(identify=Identified(Identity(unit="backup.service"))),
    ],
    ids=["command", "user", "program", "VM", "address", "modern", "going on", "topic", "script", "unit"],
)
def test_others_are_counted_apart(other: AuditRecord) -> None:
    refusals = Refusals()
    written(refusals, [a_record()] * 100)
    assert written(refusals, [other]) == [due(other)]


@pytest.mark.parametrize("client", [{"pid": 7}, {"address": "192.0.2.1:9"}], ids=["pid", "port"])
def test_new_connection_makes_no_other_tool(client: dict[str, Any]) -> None:
    refusals = Refusals()
    known: dict[str, Any] = {"address": "192.0.2.1:8"} if "address" in client else {}
    written(refusals, [a_record(**known)] * 100)
    assert written(refusals, [a_record(**client)]) == []


@pytest.mark.parametrize("action", [one for one in Action if one not in (Action.REFUSED, Action.WENT_ON)])
def test_nothing_else_is_counted(action: Action) -> None:
    assert len(written(Refusals(), [a_record(action=action)] * 100)) == 100


def test_outcome_of_what_was_begun_is_never_missing() -> None:
    asked = a_record(sent=[SentCommand(Execute("query-block"), 1, None, 0)])
    assert len(written(Refusals(), [asked] * 100)) == 100


def test_names_that_are_made_up_do_not_fill_the_memory() -> None:
    refusals = Refusals()
    records = [a_record(f"x{number}") for number in range(10_000)]
    assert len(written(refusals, records)) == 110
    assert refusals.take_all() == [due(records[-1], 9_889)]


@pytest.mark.parametrize("seed", range(20))
def test_every_refusal_is_counted_once(seed: int) -> None:
    chance = random.Random(seed)
    refusals, sent, told, now_s = Refusals(), Counter[str | None](), Counter[str | None](), 0.0
    for _ in range(2000):
        now_s += chance.choice([0.0, 0.1, 5.0])
        record = a_record(chance.choice(["stop", "quit", "info x"]))
        sent[record.hmp_command] += 1
        for members, repeated in written(refusals, [record], now_s):
            told[members["hmp_command"]] += 1 + repeated
    for members, repeated in refusals.take_all():
        told[members["hmp_command"]] += 1 + repeated
    assert told == sent


def test_what_is_kept_back_does_not_fill_the_memory() -> None:
    """The members were cut; a name in the key is, too."""
    refusals = Refusals()
    names = ["x" * 1_000_000 + str(number) for number in range(3)]
    for name in names * 10:
        refusals.take(a_record(None, Action.WENT_ON, execute=name), {"execute": name[:2048]}, 0.0)
    assert [repeated for _, repeated in refusals.take_all()] == [19]

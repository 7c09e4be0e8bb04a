"""A record is counted whole, or it is damaged and leaves no trace."""

import pytest

from audit.counting.filters import Filters
from audit.counting.tally import Tally
from audit.errors import DamagedLine
from audit.log.quick_check import check_soundness
from tests.support.audit.audit_records import a_record


def test_records_as_they_are_written_are_sound() -> None:
    check_soundness(a_record())
    check_soundness(a_record(None, execute=None, action="recovered", reply=None, failed=None))
    check_soundness(a_record(action="abandoned", reply=None, failed=None))
    check_soundness(a_record(action="delegated"))
    check_soundness(a_record(host=None, exe=None, uid=None, address="192.0.2.1:5"))


NOT_COUNTED = {"schema", "vmstate", "rehearsed", "events", "client_gone", "cut"}


@pytest.mark.parametrize("member", sorted(a_record().keys() - NOT_COUNTED))
def test_record_that_lacks_what_is_counted_is_damaged_and_leaves_no_trace(member: str) -> None:
    tally = Tally(Filters())
    record = a_record()
    del record[member]
    with pytest.raises(DamagedLine, match=f"it lacks {member}"):
        tally.add(record)
    assert (tally.records, tally.tools) == (0, {})


BAD_TIMES: list[object] = [5, None, "", "2026-11-24", "2026-11-24T10:00:00.000000+", "x" * 27]
BAD_ACTIONS: list[object] = ["rewrittem", None, 5, []]
BAD_QMP: list[object] = [None, [5], [{}], [{"execute": 5}]]
BAD_CLIENTS: list[object] = [
    *(None, [], {}, {"exe": "x"}, {"exe": [], "uid": 0, "address": None}),
    *({"exe": 5, "uid": 0, "address": None}, {"exe": "x", "uid": "y", "address": None}),
]
WRONG_TYPES: list[tuple[str, object]] = [
    *(("time", value) for value in BAD_TIMES),
    *(("action", value) for value in BAD_ACTIONS),
    *(("client", value) for value in BAD_CLIENTS),
    *(("vm", None), ("host", 5), ("lost_before", "3"), ("lost_before", None), ("stopped_ms", "x"), ("duration_ms", None)),
    *((name, value) for name in ("lost_before", "repeated") for value in (-1, 10**13, True, 1.5)),
    *(("nodes", {}), ("failed", "yes"), ("after_failure", 5)),
    *(("qmp", value) for value in BAD_QMP),
    *(("hmp_command", []), ("command_line", 5), ("execute", {}), ("execute", None), ("reason", None)),
]


@pytest.mark.parametrize(("member", "value"), WRONG_TYPES)
def test_member_of_a_wrong_type_is_damaged_and_leaves_no_trace(member: str, value: object) -> None:
    tally = Tally(Filters())
    with pytest.raises(DamagedLine):
        tally.add(a_record() | {member: value})
    assert (tally.records, tally.tools, tally.timeline_total) == (0, {}, 0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -1, -0.001, 1e13, 10**400], ids=repr)
@pytest.mark.parametrize("member", ["stopped_ms", "duration_ms"])
def test_number_that_is_no_duration_is_damaged(member: str, value: float) -> None:
    with pytest.raises(DamagedLine, match="one of its durations is not a duration"):
        Tally(Filters()).add(a_record() | {member: value})


@pytest.mark.parametrize(
    "members",
    [{"action": "went_on", "after_failure": None}, {"client": a_record()["client"] | {"parent": []}}],
    ids=["after nothing", "strange parent"],
)
def test_record_that_could_not_be_counted_is_damaged(members: dict[str, object]) -> None:
    with pytest.raises(DamagedLine):
        Tally(Filters()).add(a_record() | members)


@pytest.mark.parametrize("error", [{}, None, {"desc": 5}])
def test_failure_may_have_a_text_beside_a_strange_error(error: object) -> None:
    tally = Tally(Filters())
    tally.add(a_record(failed=True, reply={"return": "Error: no", "error": error}))
    assert [failure.text for failure in tally.failures.results()] == ["Error: no"]


@pytest.mark.parametrize("reply", [None, {}, {"return": {}}, {"error": "x"}, {"error": {}}, "x"])
def test_failure_without_a_text_is_damaged(reply: object) -> None:
    with pytest.raises(DamagedLine):
        Tally(Filters()).add(a_record(failed=True, reply=reply))


@pytest.mark.parametrize("node", ["x", {}, {"node": "n", "device": 5, "included": True, "reason": ""}])
def test_failure_with_a_node_that_is_none_is_damaged(node: object) -> None:
    with pytest.raises(DamagedLine):
        Tally(Filters()).add(a_record(failed=True, reply={"return": "Error: no"}, nodes=[node]))


NOT_AN_OBJECT: list[object] = ["x", [], {}, 5]
SOUND_REHEARSAL: dict[str, object] = {"qmp": [], "outcome": "done", "text": None, "agreed": True}


@pytest.mark.parametrize(
    "members",
    [
        *({"rehearsed": value} for value in NOT_AN_OBJECT),
        *({"rehearsed": SOUND_REHEARSAL | wrong} for wrong in ({"outcome": None}, {"text": 5}, {"agreed": "yes"})),
        *({"nodes": [node]} for node in ("x", {}, {"node": "n", "device": 5, "included": True, "reason": ""})),
        *({"vmstate": value} for value in NOT_AN_OBJECT),
        *({"vmstate": value} for value in ({"node": 5, "reason": ""}, {"node": None, "reason": None})),
    ],
)
def test_observed_record_whose_answers_cannot_be_compared_is_damaged(members: dict[str, object]) -> None:
    tally = Tally(Filters())
    record = a_record(action="observed", rehearsed=SOUND_REHEARSAL)
    check_soundness(record)
    check_soundness(record | {"vmstate": {"node": None, "reason": ""}})
    with pytest.raises(DamagedLine):
        tally.add(record | members)
    assert (tally.records, tally.switch.result()) == (0, None)


def test_observed_record_without_a_rehearsal_is_sound() -> None:
    record = a_record(action="observed")
    check_soundness(record)
    del record["rehearsed"]
    Tally(Filters()).add(record)


def test_member_that_tells_less_may_be_missing() -> None:
    record = a_record(action="observed", rehearsed=SOUND_REHEARSAL | {"text": ""})
    del record["vmstate"]
    Tally(Filters()).add(record)


def test_combinations_of_types_that_are_made_up_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.log.quick_check._MOST_COMBINATIONS", 0)
    check_soundness(a_record(stopped_ms=1, duration_ms=2))
    with pytest.raises(DamagedLine):
        check_soundness(a_record(stopped_ms="1"))

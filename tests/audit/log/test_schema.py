"""The schema of audit records: the table in docs/audit-log.md, the data, and what to_members makes agree."""

import copy
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from audit.log.reading import decode
from audit.log.schema import ACTIONS, MEMBERS, OUTCOMES, VERSIONS, Member, problems
from shim.client import Client
from shim.graph.blockgraph import BlockNode
from shim.graph.selection import NodeChoice
from shim.hmp.line import HMPLine
from shim.plans.plan import Decided
from shim.qmp import JSON, ErrorReply, Execute, Reply, ReturnReply
from shim.records.audit import Action, AuditRecord, Rehearsed, SeenEvent, SentCommand
from shim.records.audit_form import SCHEMA_VERSION, spell, to_json, to_members
from shim.records.excerpt import excerpt
from shim.records.identity import Identified, Identity, Parent
from tests.support.checkout import ROOT

_DOCUMENT: Final = (ROOT / "docs" / "audit-log.md").read_text(encoding="utf-8")
_EXAMPLES: Final[list[dict[str, Any]]] = [
    json.loads(block) for block in re.findall(r"```json\n(.*?)```", _DOCUMENT.partition("\n## Examples\n")[2], re.DOTALL)
]
_PLAIN: Final = ("schema", "time", "vm", "client", "command_line", "action", "reason", "nodes", "vmstate", "qmp", "rehearsed")
_VERSION_1: Final = {*_PLAIN, "events", "stopped_ms", "reply", "duration_ms", "client_gone"}


def _sent(reply: Reply | None, size_bytes: int) -> SentCommand:
    return SentCommand(Execute("query-jobs"), 1, reply, size_bytes)


def _full_record(action: Action = Action.REWRITTEN) -> dict[str, Any]:
    """Make a record with everything that one can have."""
    replies: list[tuple[Reply | None, int]] = [
        (ReturnReply({}), 10),
        (ReturnReply([]), 100_000),
        (ErrorReply("GenericError", "no"), 10),
        (None, 0),
    ]
    record = AuditRecord(
        time=datetime.now(UTC),
        vm="vm",
        client=Client(1, 2, "/bin/tool"),
        line=HMPLine.read("savevm t"),
        action=action,
        reason="done" * 1000,
        reply={"return": ""},
        duration_ns=3,
        client_gone=False,
        decided=Decided((NodeChoice(BlockNode("n", "raw"), True, "why"),), "n", "why"),
        sent=[_sent(reply, size) for reply, size in replies],
        events=[SeenEvent("STOP", 1)],
        rehearsed=Rehearsed((Execute("snapshot-save"),), "done", "", agreed=True),
        identify=Identified(Identity(argv=("socat", "-"), parent=Parent(1, "/bin/bash", ("bash", "/opt/t.sh")))),
    )
    members: dict[str, Any] = json.loads(spell(excerpt(to_members(record, host="node7"))))
    return members


def _old_record() -> dict[str, Any]:
    """Make one as version 1 had it."""
    return {name: value for name, value in _full_record().items() if name in _VERSION_1} | {"schema": 1}


def _rows(header: str) -> list[list[str]]:
    """Return the cells of the document's table whose header line begins like this."""
    _, found, rest = _DOCUMENT.partition(f"\n{header}")
    assert found, f"there is no table {header!r}"
    table = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def _walk(value: JSON, pattern: str = "") -> Iterator[str]:
    """Return the paths of the members of a record, as the table has them; what is in arguments and replies is no member."""
    for name, member in value.items():
        path = f"{pattern}{name}"
        yield path
        if name in ("arguments", "return", "reply"):
            continue
        if isinstance(member, dict):
            yield from _walk(member, f"{path}.")
        for item in member if isinstance(member, list) else ():
            if isinstance(item, dict):
                yield from _walk(item, f"{path}[].")


def _places(value: JSON, path: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Return the objects of a record that have the member, each with the member's name."""
    head, _, rest = path.partition(".")
    if not rest:
        yield value, head
    elif head.endswith("[]"):
        for item in value[head.removesuffix("[]")]:
            yield from _places(item, rest)
    elif head in value:
        yield from _places(value[head], rest)


def _wrong_values(member: Member) -> list[JSON]:
    samples: list[JSON] = [5, 0.5, float("nan"), "x", True, [], {}, None]
    return [sample for sample in samples if not member.allows(sample)]


def _pattern(text: str) -> str:
    """Replace the numbers of items, as the table has paths."""
    return re.sub(r"\[\d+\]", "[]", text)


def _ids(member: Member) -> str:
    return member.path


def test_document_has_the_table_of_the_schema() -> None:
    told = [(path.strip("`"), types, since) for path, types, since, _ in _rows("| member | type | since | |")]
    assert told == [(member.path, " or ".join(member.types), str(member.since)) for member in MEMBERS]


def test_document_has_the_actions_of_the_schema() -> None:
    assert [(name.strip("`"), since) for name, since, _ in _rows("| action | since | |")] == [
        (str(name), str(since)) for name, since in ACTIONS.items()
    ]
    assert list(ACTIONS) == list(Action)


def test_newest_version_is_the_one_that_is_written() -> None:
    assert VERSIONS[-1] == SCHEMA_VERSION


def test_schema_has_exactly_the_members_that_records_have() -> None:
    assert {member.path for member in MEMBERS} == set(_walk(_full_record()))


def test_schema_has_the_order_of_records() -> None:
    assert [member.path for member in MEMBERS if member.path in _full_record()] == list(_full_record())


def test_schema_still_has_the_members_of_version_1() -> None:
    assert {member.path for member in MEMBERS if member.since == 1 and "." not in member.path} == _VERSION_1


@pytest.mark.parametrize("action", Action)
def test_record_that_is_written_has_no_problems(action: Action) -> None:
    assert problems(_full_record(action)) == []


def test_record_with_as_little_as_possible_has_no_problems() -> None:
    time = datetime(2026, 1, 2, tzinfo=UTC)
    bare = AuditRecord(time, "", Client(), None, Action.RECOVERED, "", None, 0, False, execute=None)
    assert problems(json.loads(to_json(bare, host=""))) == []


def test_record_of_version_1_has_no_problems() -> None:
    assert problems(_old_record()) == []


@pytest.mark.parametrize("action", Action)
def test_each_action_has_an_example(action: Action) -> None:
    """In this order, under its own heading."""
    headings = re.findall(r"(?m)^### (\w+)$", _DOCUMENT.partition("\n## Examples\n")[2])
    assert [example["action"] for example in _EXAMPLES] == headings
    assert [example["action"] for example in _EXAMPLES].count(action) == 1


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda example: example["action"])
def test_example_is_a_whole_record_of_today(example: dict[str, Any]) -> None:
    assert list(example) == list(_full_record())
    assert example["schema"] == SCHEMA_VERSION
    assert problems(example) == []
    assert decode(json.dumps(example).encode()) == example


@pytest.mark.parametrize("member", MEMBERS, ids=_ids)
def test_wrong_type_of_any_member_is_found(member: Member) -> None:
    whole = _full_record()
    for wrong in _wrong_values(member):
        for number in range(len(list(_places(whole, member.path)))):
            record = copy.deepcopy(whole)
            holder, name = list(_places(record, member.path))[number]
            if name in OUTCOMES and name not in holder:
                continue
            holder[name] = wrong
            (found,) = problems(record)
            assert _pattern(found).startswith(f"{member.path}: it is "), found
            assert ", but must be " in found


@pytest.mark.parametrize("member", MEMBERS, ids=_ids)
def test_missing_member_is_found(member: Member) -> None:
    whole = _full_record()
    for number in range(len(list(_places(whole, member.path)))):
        record = copy.deepcopy(whole)
        holder, name = list(_places(record, member.path))[number]
        if name in OUTCOMES and name not in holder:
            continue
        del holder[name]
        (found,) = problems(record)
        if name in OUTCOMES:
            expected = "it has none, but must have exactly one of return, return_bytes, error and lost"
            assert found == f"qmp[{number}]: {expected}"
        else:
            assert _pattern(found) == f"{member.path}: it is missing"


@pytest.mark.parametrize("path", ["nodes", "qmp", "events", "rehearsed.qmp"])
def test_item_that_is_no_object_is_found(path: str) -> None:
    record = _full_record()
    ((holder, name),) = _places(record, path)
    holder[name].append("x")
    assert problems(record) == [f'{path}[{len(holder[name]) - 1}]: it is "x", but must be an object']


def test_command_with_two_outcomes_is_found() -> None:
    record = _full_record()
    record["qmp"][2]["return"] = {}
    (found,) = problems(record)
    assert found == "qmp[2]: it has return and error, but must have exactly one of return, return_bytes, error and lost"


@pytest.mark.parametrize("member", [member for member in MEMBERS if member.since > 1 and "." not in member.path], ids=_ids)
def test_version_1_may_have_what_it_likes_where_a_later_one_has_a_member(member: Member) -> None:
    assert problems(_old_record() | {member.path: [5]}) == []


def test_record_of_version_2_needs_no_member_of_version_3() -> None:
    record = _full_record() | {"schema": 2, "repeated": "x", "cut": 5}
    del record["client"]["connected_as"]
    assert problems(record) == []


@pytest.mark.parametrize("path", ["new", "client.new", "nodes[].new", "qmp[].new", "rehearsed.new"])
def test_member_that_is_not_known_is_allowed(path: str) -> None:
    record = _full_record()
    for holder, name in _places(record, path):
        holder[name] = object
    assert problems(record) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"failed": 1}, "failed: it is 1, but must be a boolean or null"),
        ({"lost_before": True}, "lost_before: it is true, but must be an integer"),
        ({"stopped_ms": float("inf")}, "stopped_ms: it is Infinity, but must be a number"),
        ({"vm": {"a": "b"}}, "vm: it is an object, but must be a string"),
        ({"nodes": "x" * 50}, f'nodes: it is "{"x" * 39}…, but must be an array'),
        ({"nodes": "\x1b[2J\x7f\u202e\ud800"}, 'nodes: it is "\\u001b[2J\\u007f\\u202e\\ud800", but must be an array'),
        ({"time": "yesterday"}, 'time: it is "yesterday", but must be a time like 2026-11-23T17:39:52.451176Z'),
        ({"action": "eaten"}, None),
        ({"schema": 5}, "schema: it is 5, but must be 1, 2, 3 or 4"),
        ({"schema": True}, "schema: it is true, but must be 1, 2, 3 or 4"),
        ({"schema": 1.0}, "schema: it is 1.0, but must be 1, 2, 3 or 4"),
        ({"schema": []}, "schema: it is an array, but must be 1, 2, 3 or 4"),
    ],
)
def test_text_of_a_problem(changes: dict[str, JSON], expected: str | None) -> None:
    known = "rewritten, passed, refused, observed, recovered, modern, begun, went_on, abandoned or delegated"
    assert problems(_full_record() | changes) == [expected or f'action: it is "eaten", but must be {known}']


def test_text_of_a_problem_names_the_item() -> None:
    record = _full_record()
    record["nodes"] = [copy.deepcopy(record["nodes"][0]) for _ in range(3)]
    record["nodes"][2]["included"] = "yes"
    assert problems(record) == ['nodes[2].included: it is "yes", but must be a boolean']


@pytest.mark.parametrize("record", [[], None, 5, "x", True, 0.5], ids=str)
def test_what_is_no_object_is_no_record(record: JSON) -> None:
    (found,) = problems(record)
    assert found.endswith("but must be an object")


@pytest.mark.parametrize("action", ["modern", "begun", "went_on", "abandoned", "delegated"])
def test_action_of_a_later_version_is_found(action: str) -> None:
    (found,) = problems(_old_record() | {"action": action})
    assert found == f'action: it is "{action}", but must be rewritten, passed, refused, observed or recovered'


@pytest.mark.parametrize(
    "time",
    [
        *("2026-11-23T17:39:52Z", "2026-11-23T17:39:52.451Z", "2026-11-23 17:39:52.451176Z", "2026-11-23T17:39:52.451176"),
        *("2026-11-23T17:39:52.451176+00:00", "2026-13-23T17:39:52.451176Z", "2026-02-30T17:39:52.451176Z", ""),
        *("2026-11-23T25:39:52.451176Z", "2026-11-23T17:39:52.451176Z\n", "٢٠٢٦-11-23T17:39:52.451176Z"),
    ],
)
def test_time_of_another_form_is_found(time: str) -> None:
    (found,) = problems(_full_record() | {"time": time})
    assert found.startswith("time: it is ")


def test_all_problems_of_a_record_are_told() -> None:
    record = _full_record() | {"host": 1, "time": "", "action": "", "reply": []}
    del record["vm"]
    assert [text.partition(":")[0] for text in problems(record)] == ["host", "vm", "reply", "time", "action"]

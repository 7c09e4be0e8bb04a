"""Long texts of a record are cut, wherever they stand, and what they were can be proved."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from shim.client import Client
from shim.graph.blockgraph import BlockNode
from shim.graph.selection import NodeChoice
from shim.hmp.line import HMPLine
from shim.plans.plan import Decided
from shim.qmp import JSON, ErrorReply, Execute
from shim.records.audit import Action, AuditRecord, Rehearsed, SentCommand
from shim.records.audit_form import to_members
from shim.records.excerpt import MAX_TEXT_CHARS, excerpt
from tests.support.routing.pure_router import NOW

LONG = "é" * 100_000


def a_record(text: str) -> dict[str, Any]:
    """Make a record that has the text wherever one can stand."""
    save = Execute("snapshot-save", {"tag": text, "devices": [text]})
    record = AuditRecord(
        time=NOW,
        vm=text,
        client=Client(1, 2, text, text, text),
        line=HMPLine.read(text),
        action=Action.PASSED,
        reason=text,
        reply={"return": text, "id": text},
        duration_ns=1,
        client_gone=False,
        decided=Decided((NodeChoice(BlockNode(text, text), True, text),), text, text),
        sent=[SentCommand(save, 1, ErrorReply(text, text), 1)],
        rehearsed=Rehearsed((save,), text, text),
        execute=text,
        after_failure=text,
    )
    return to_members(record, host=text)


def texts(value: JSON, path: str = "") -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield path, value
        case dict():
            for name, item in value.items():
                yield from texts(item, f"{path}.{name}" if path else name)
        case list():
            for number, item in enumerate(value):
                yield from texts(item, f"{path}[{number}]")


def test_every_text_of_a_record_is_cut() -> None:
    whole = a_record(LONG)
    found = excerpt(whole)
    own = {"cut", "time", "action", "hmp_command"}
    expected = [path for path, text in texts(whole) if text == LONG]
    assert len(expected) > 20
    assert [cut["member"] for cut in found["cut"]] == expected
    assert {len(text) for path, text in texts(found) if path.partition("[")[0] not in own} <= {
        MAX_TEXT_CHARS,
        *(len(text) for _, text in texts(a_record(""))),
        len("snapshot-save"),
    }
    assert list(found) == list(whole)


def test_what_was_cut_can_be_proved() -> None:
    found = excerpt(a_record("") | {"command_line": LONG})
    whole = hashlib.sha256(LONG.encode()).hexdigest()
    assert found["cut"] == [{"member": "command_line", "characters": 100_000, "sha256": whole}]
    assert found["command_line"] == LONG[:MAX_TEXT_CHARS]


@pytest.mark.parametrize("length", [0, 1, MAX_TEXT_CHARS])
def test_record_without_long_texts_stays_as_it_is(length: int) -> None:
    whole = a_record("x" * length)
    assert excerpt(whole) == whole


def test_record_is_not_changed_in_place() -> None:
    whole, same = a_record(LONG), a_record(LONG)
    excerpt(whole)
    assert whole == same


def test_lone_surrogate_can_be_cut() -> None:
    assert excerpt(a_record("") | {"reason": "\ud800" * 3000})["cut"][0]["characters"] == 3000

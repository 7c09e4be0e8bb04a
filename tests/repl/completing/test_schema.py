"""What can be at a place of a command's arguments."""

import pytest

from repl.completing.schema import QMPArgument, Schema, Step
from tests.support.repl.known_names import SCHEMA
from tests.support.repl.qemu_facts import entry, member

KNOWN = Schema(SCHEMA)


def names(command: str, *steps: Step, **given: str) -> list[str]:
    tags = {name.replace("_", "-"): value for name, value in given.items()}
    return [one.name for one in KNOWN.level(command, steps, tags).members]


def test_tag_decides_between_the_variants() -> None:
    assert names("object-add", qom_type="iothread") == ["qom-type", "id", "poll-max-ns", "loaded"]
    assert names("object-add", qom_type="nosuch") == ["qom-type", "id"]
    assert names("object-add") == ["qom-type", "id", "data", "format", "poll-max-ns", "loaded"]


def test_member_of_a_variant_that_is_not_chosen_may_be_left_out() -> None:
    step = Step("keys", {})
    (_, data) = KNOWN.level("send-key", [step, Step(None, {})], {}).members
    assert data == QMPArgument("data", "integer or enum", True, ("a", "alt", "ctrl", "delete"))
    (_, data) = KNOWN.level("send-key", [step, Step(None, {})], {"type": "qcode"}).members
    assert data == QMPArgument("data", "enum", False, ("a", "alt", "ctrl", "delete"))


def test_way_goes_through_objects_and_alternates() -> None:
    assert names("netdev_add", Step("addr", {"type": "stream"})) == ["type", "host", "more"]
    assert names("netdev_add", Step("addr", {"type": "user"})) == []
    assert names("blockdev-add", Step("file", {}), Step("file", {})) == ["driver", "node-name", "file"]


def test_way_goes_through_lists() -> None:
    assert names("send-key", Step("keys", {}), Step(None, {})) == ["type", "data"]
    assert names("send-key", Step("rows", {}), Step(None, {}), Step(None, {})) == ["type", "data"]
    (element,) = KNOWN.level("send-key", [Step("formats", {})], {}).members
    assert (element.name, element.values) == ("", ("raw", "qcow2"))


@pytest.mark.parametrize(
    "steps",
    [
        [Step("nosuch", {})],
        [Step(None, {})],
        [Step("keys", {}), Step("x", {})],
        [Step("keys", {}), Step(None, {}), Step("type", {})],
        [Step("nosuch", {}), Step("x", {})],
    ],
)
def test_place_that_is_not_there_has_no_members(steps: list[Step]) -> None:
    assert KNOWN.level("send-key", steps, {}).members == ()


@pytest.mark.parametrize("command", ["nosuch", "types", "none"])
def test_what_is_no_command_has_no_arguments(command: str) -> None:
    assert KNOWN.level(command, [], {}).members == ()


def test_alternate_without_an_object_leads_nowhere() -> None:
    assert names("screendump", Step("other", {})) == []


def test_values_of_a_member() -> None:
    assert KNOWN.values("blockdev-add", "driver") == ("raw", "qcow2")
    assert KNOWN.values("send-key", "keys", "", "data", given={"type": "qcode"}) == ("a", "alt", "ctrl", "delete")
    assert KNOWN.values("blockdev-add", "nosuch") == ()


def test_schema_that_is_not_whole_has_no_members() -> None:
    broken = Schema(
        [
            entry("c", "command", **{"arg-type": "gone"}),
            entry("d", "command", **{"arg-type": "e"}),
            entry("e", "object", members=[member("x", "gone")]),
        ]
    )
    assert broken.level("c", [], {}).members == ()
    assert broken.level("d", [], {}).members == ()
    assert Schema().level("c", [], {}).members == ()

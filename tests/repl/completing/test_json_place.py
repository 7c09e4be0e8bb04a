"""Where the cursor stands in unfinished JSON."""

import json
import random

import pytest

from repl.completing.json_place import JSONPlace, find_place
from repl.completing.schema import Step


def place(text: str) -> JSONPlace:
    found = find_place(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "name", "typed", "names"),
    [
        ("{", None, "", []),
        ("{ ", None, "", []),
        ('{"', None, '"', []),
        ('{"a', None, '"a', []),
        ('{"a": ', "a", "", []),
        ('{"a":', "a", "", []),
        ('{"a": "x', "a", '"x', []),
        ('{"a": "x\\', "a", '"x\\', []),
        ('{"a": tr', "a", "tr", []),
        ('{"a": 1', "a", "1", []),
        ('{"a": 1, ', None, "", ["a"]),
        ('{"a": {}, "b": [], ', None, "", ["a", "b"]),
        ('{"a": {}, "b": [1], "c": "y", "d', None, '"d', ["a", "b", "c"]),
        ('{"a": [', "", "", []),
        ('{"a": ["x", "y', "", '"y', []),
        ("{'", None, "'", []),
        ("{'a': 'x", "a", "'x", []),
        ("{'a': 'it\"s', \"b\": {'c\"", None, "'c\"", []),
        ("{'a': 1, 'b", None, "'b", ["a"]),
    ],
)
def test_place(text: str, name: str | None, typed: str, names: list[str]) -> None:
    found = place(text)
    assert (found.name, found.typed, sorted(found.names)) == (name, typed, names)


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("{", '"'),
        ('{"a": ', '"'),
        ("{'a': ", "'"),
        ("{'a': \"", '"'),
        ('{"a": \'', "'"),
        ("{'a': \"x\", ", "'"),
    ],
)
def test_quote_is_that_of_the_typed_part_or_of_the_first_string(text: str, quote: str) -> None:
    assert place(text).quote == quote


def test_single_quoted_strings_are_given_too() -> None:
    assert place("{'driver': 'raw', 'file': ").given == {"driver": "raw"}


def test_way_and_what_is_given() -> None:
    found = place('{"driver": "raw", "n": 1, "file": {"driver": "file", "aio": ')
    assert found.steps == (Step("file", {"driver": "raw"}),)
    assert found.given == {"driver": "file"}
    assert place('{"keys": [{"type": ').steps == (Step("keys", {}), Step(None, {}))


def test_topic_of_a_value_in_a_list_is_the_lists() -> None:
    assert place('{"devices": ["').topic == "devices"
    assert place('{"devices": "').topic == "devices"
    assert place("{").topic == ""


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "[",
            '"a',
            "1",
            "{}",
            "{} ",
            '{"a"',
            '{"a" ',
            '{"a": 1 ',
            '{"a": {}',
            '{"a": "x"',
            "{]",
            "{,",
            "{:",
            '{"a", ',
        ),
        *(
            '{"a": , ',
            '{"a": 1: ',
            '{"a": 1 2 ',
            "{x",
            "{x: ",
            '{"a": {]',
            '{"a": [}',
            "{1: ",
            '{"a": 1}}',
            "}",
            '{"a"{',
            "{'a'",
            "{'a': 'x'",
            "{'it\\'s': ",
            '{"\\x": ',
            "{ {",
        ),
    ],
)
def test_no_place(text: str) -> None:
    assert find_place(text) is None


@pytest.mark.parametrize("seed", range(20))
def test_every_beginning_of_json_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)

    def value(depth: int) -> object:
        kind = rng.randrange(5 if depth else 3)
        if kind == 3:
            return [value(depth - 1) for _ in range(rng.randrange(4))]
        if kind == 4:
            return {f'k"{number}': value(depth - 1) for number in range(rng.randrange(4))}
        return (rng.random(), 'a "b" {[', True)[kind]

    text = json.dumps({"a": value(3), "b": value(3)})
    for end in range(len(text)):
        found = find_place(text[:end])
        assert found is None or text[:end].endswith(found.typed)

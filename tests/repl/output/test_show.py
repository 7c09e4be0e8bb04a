"""Replies, events and ends of commands as text: what it says, and that no terminal obeys it."""

import json
import random
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from repl.output.layout import Fragments
from repl.output.show import duration_text, end_of_command, event_line, hmp_text, json_text, qmp_reply
from shim.qmp import ErrorReply, ReturnReply

HOSTILE: Final = "\x1b]0;title\x07\x1b[2J\x9b1m\x00\u202e\r\x7f"
MS: Final = 1_000_000
S: Final = 1000 * MS


def text_of(fragments: Fragments) -> str:
    return "".join(text for _, text in fragments)


def styled(fragments: Fragments, style: str) -> list[str]:
    return [text for name, text in fragments if name == style]


def assert_harmless(fragments: Fragments) -> None:
    assert [char for char in text_of(fragments) if not char.isprintable() and char not in "\n\t"] == []


def at_utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# -- HMP ------------------------------------------------------------------------------------------------------------------


def test_hmp_text_is_shown_as_it_is() -> None:
    assert hmp_text("VM status: running\r\n", is_failure=False) == [("", "VM status: running\n")]
    assert hmp_text("a\r\n\tb", is_failure=False) == [("", "a\n\tb\n")]


def test_nothing_is_shown_for_nothing() -> None:
    assert hmp_text("", is_failure=False) == []


def test_hmp_error_has_the_colour_of_errors() -> None:
    assert hmp_text("Error: no\r\n", is_failure=True) == [("class:error", "Error: no\n")]


def test_hmp_text_is_harmless() -> None:
    shown = hmp_text(f"a{HOSTILE}b", is_failure=False)
    assert_harmless(shown)
    assert text_of(shown).startswith("a\\x1b]0;title\\x07\\x1b[2J\\x9b1m\\x00\\u202e")


# -- QMP ------------------------------------------------------------------------------------------------------------------


def test_json_is_shown_over_several_lines_in_colours() -> None:
    shown = json_text({"a": [1, "x", None, True], "b": {}})
    assert text_of(shown) == '{\n  "a": [\n    1,\n    "x",\n    null,\n    true\n  ],\n  "b": {}\n}\n'
    assert styled(shown, "class:json.key") == ['"a"', '"b"']
    assert styled(shown, "class:json.string") == ['"x"']
    assert styled(shown, "class:json.number") == ["1"]
    assert styled(shown, "class:json.constant") == ["null", "true"]


@pytest.mark.parametrize("value", ['a": 1', 'say "true"', "null", "\\", 'ends with \\"', "1e5: {", "ü€😀"])
def test_json_strings_are_not_taken_apart(value: str) -> None:
    assert styled(json_text([value]), "class:json.string") == [json.dumps(value, ensure_ascii=False)]
    assert styled(json_text({value: 0}), "class:json.key") == [json.dumps(value, ensure_ascii=False)]


def test_json_is_harmless() -> None:
    assert_harmless(json_text({HOSTILE: [HOSTILE, "\x85\u2028"]}))


def some_json(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(7 if depth < 3 else 5)
    if kind == 5:
        return [some_json(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 6:
        return {f'k"{number}\\': some_json(rng, depth + 1) for number in range(rng.randrange(4))}
    return [None, rng.random() < 0.5, rng.randint(-(10**20), 10**20), rng.uniform(-1e9, 1e-9), 'a "b\\" \x1b:1'][kind]


@pytest.mark.parametrize("seed", range(50))
def test_json_in_colours_is_the_same_json(seed: int) -> None:
    value = some_json(random.Random(seed))
    shown = text_of(json_text(value))
    # The one character that is spelled out.
    assert json.loads(shown.replace("\\x1b", "\\u001b")) == value
    assert shown.replace("\\x1b", "\\u001b") == json.dumps(value, indent=2) + "\n"


def test_qmp_reply() -> None:
    assert qmp_reply(ReturnReply({})) == json_text({})
    assert qmp_reply(ErrorReply("GenericError", "no")) == [("class:error", "GenericError: no\n")]
    assert_harmless(qmp_reply(ErrorReply("GenericError", HOSTILE)))


# -- events ---------------------------------------------------------------------------------------------------------------


def test_event_is_a_line_with_its_time() -> None:
    assert text_of(event_line("STOP", {}, 3661.25, local_time=at_utc)) == "01:01:01.250 STOP\n"
    assert text_of(event_line("RESET", {"guest": True}, 0.0, local_time=at_utc)) == '00:00:00.000 RESET {"guest": true}\n'


def test_event_of_an_unknown_time() -> None:
    assert text_of(event_line("STOP", {}, None, local_time=at_utc)) == "STOP\n"


def test_event_is_one_line_however_much_it_says() -> None:
    shown = event_line("BIG", {"text": "x\n" * 5000}, 1.0, local_time=at_utc)
    assert len(text_of(shown)) < 200
    assert text_of(shown).endswith("…\n")
    assert text_of(shown).count("\n") == 1


def test_event_is_harmless() -> None:
    assert_harmless(event_line("EVIL", {HOSTILE: HOSTILE}, 1.0, local_time=at_utc))


# -- ends -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0 ms"),
        (1, "0 ms"),
        (15 * MS, "15 ms"),
        (999 * MS, "999 ms"),
        (999_600_000, "1.0 s"),
        (S, "1.0 s"),
        (12_340 * MS, "12.3 s"),
        (59_940 * MS, "59.9 s"),
        (60 * S, "1 min 0 s"),
        (125 * S, "2 min 5 s"),
        (3600 * S, "60 min 0 s"),
    ],
)
def test_duration(duration_ns: int, text: str) -> None:
    assert duration_text(duration_ns) == text


def test_no_duration_is_told_with_a_full_unit_too_many() -> None:
    shown = {duration_text(number * 7_000_003) for number in range(20_000)}
    assert not {text for text in shown if text.startswith(("1000 ms", "60.0 s"))}


def test_end_of_a_command() -> None:
    ended = end_of_command("savevm t", is_failure=False, duration_ns=2 * S, stopped_ns=15 * MS)
    assert ended == [("class:success", "done"), ("", ": savevm t (2.0 s; the VM stood still for 15 ms)\n")]


def test_end_of_a_command_that_failed_without_a_pause() -> None:
    ended = end_of_command("loadvm t", is_failure=True, duration_ns=MS, stopped_ns=0)
    assert ended == [("class:error", "failed"), ("", ": loadvm t (1 ms)\n")]


def test_end_of_a_command_is_harmless() -> None:
    assert_harmless(end_of_command(f"savevm {HOSTILE}", is_failure=False, duration_ns=0, stopped_ns=0))

"""README.md against the product: what it names exists, and its tables agree."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from repl.lines import OWN_COMMANDS
from shim.audit import SCHEMA_VERSION, Action, AuditRecord, Rehearsed, SeenEvent, SentCommand, summarize, to_json
from shim.blockgraph import BlockNode
from shim.client import Client
from shim.plan import Decided
from shim.policy import NodeChoice
from shim.qmp import JSON, ErrorReply, Execute, Reply, ReturnReply

_ROOT: Final = Path(__file__).parents[1]
_README: Final = (_ROOT / "README.md").read_text(encoding="utf-8")
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
    "any": (object,),
}
# Members that only some of the commands have.
_ALTERNATIVES: Final = {"qmp[].return", "qmp[].return_bytes", "qmp[].error", "qmp[].lost"}
_REHEARSED: Final = {f"rehearsed.{name}" for name in ("qmp", "outcome", "text", "agreed")}


@pytest.fixture(scope="module")
def help_text() -> str:
    """What `hmp-proxy --help` prints, and `hmp-proxy plan --help` behind it."""
    return "\n".join(_help("proxy", *words) for words in (["--help"], ["plan", "--help"]))


@pytest.fixture(scope="module")
def prompt_help_text() -> str:
    """What `hmp-repl --help` prints."""
    return _help("repl", "--help")


def _help(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=_ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def _exit_statuses(help_text: str) -> dict[str, str]:
    lines = help_text.partition("exit status:\n")[2].partition("\n\n")[0].splitlines()
    cells = [cell for line in lines for cell in re.split(r" {3,}", line.strip())]
    return dict(re.split(r"\s+", cell, maxsplit=1) for cell in cells)


def _rows(header: str) -> list[list[str]]:
    """Give the cells of the table whose header line begins like this."""
    _, found, rest = _README.partition(f"\n{header}")
    assert found, f"README has no table {header!r}"
    lines = rest.splitlines()[2:]
    table = lines[: next((number for number, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def _example() -> dict[str, Any]:
    block = re.search(r"```json\n(.*?)```", _README, re.DOTALL)
    assert block is not None
    record: dict[str, Any] = json.loads(block[1])
    return record


def _sent(reply: Reply | None, size_bytes: int) -> SentCommand:
    return SentCommand(Execute("query-jobs"), 1, reply, size_bytes)


def _full_record() -> dict[str, Any]:
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
        command_line="savevm t",
        action=Action.REWRITTEN,
        reason="done",
        reply={"return": ""},
        duration_ns=3,
        client_gone=False,
        decided=Decided((NodeChoice(BlockNode("n", "raw"), True, "why"),), "n", "why"),
        sent=[_sent(reply, size) for reply, size in replies],
        events=[SeenEvent("STOP", 1)],
        rehearsed=Rehearsed((Execute("snapshot-save"),), "done", "", agreed=True),
    )
    members: dict[str, Any] = json.loads(to_json(record))
    return members


def _walk(value: JSON, prefix: str = "") -> Iterator[tuple[str, JSON]]:
    """Give each member of a record by the name that the README's table has for it."""
    for name, member in value.items():
        path = f"{prefix}{name}"
        if path == "client":
            yield from _walk(member, f"{path}.")
            continue
        yield path, member
        if path == "rehearsed" and member is not None:
            yield from _walk(member, f"{path}.")
        if path == "vmstate" and member is not None:
            yield from _walk(member, f"{path}.")
        elif path in ("nodes", "qmp", "events"):
            for item in member:
                yield from _walk(item, f"{path}[].")


def _schema() -> dict[str, tuple[type, ...]]:
    """Read the README's table of members: the path, and the types that a value may have."""
    return {
        name.strip("`"): tuple(kind for word in types.split(" or ") for kind in _TYPES[word])
        for name, types, _ in _rows("| member | type |")
    }


def test_options_that_readme_names_exist(help_text: str, prompt_help_text: str) -> None:
    # The other options are those of pip, QEMU and apt, and in none of their code spans.
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", _README)) - {"--help"}
    known = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", help_text + prompt_help_text))
    assert named
    assert sorted(named - known) == []


def test_exit_statuses_agree_with_help(help_text: str, prompt_help_text: str) -> None:
    assert dict(_rows("| exit status | |")) == _exit_statuses(help_text)
    assert dict(_rows("| exit status of `hmp-repl` | |")) == _exit_statuses(prompt_help_text)


def test_commands_of_the_prompt_are_all_told() -> None:
    told = " ".join(cell for cell, *_ in _rows("| command | |"))
    for command in OWN_COMMANDS:
        assert f"`{command.names[0]}" in told


def test_addresses_agree_with_help(help_text: str) -> None:
    listed = help_text.partition("addresses:\n")[2].partition("\n\n")[0].splitlines()
    named = [name for cell, *_ in _rows("| address | for | |") for name in re.findall(r"`([^`]+)`", cell)]
    assert [line.split()[0] for line in listed] == [name for name in named if name != "accept:tcp:HOST:PORT"]


def test_record_schema_has_exactly_the_members_that_records_have() -> None:
    assert set(_schema()) == {path for path, _ in _walk(_full_record())}


@pytest.mark.parametrize("record", [_example(), _full_record()], ids=["example", "full"])
def test_record_has_the_types_of_the_schema(record: dict[str, Any]) -> None:
    schema = _schema()
    for path, value in _walk(record):
        kinds = schema[path]
        # To Python a bool is an int.
        assert isinstance(value, kinds), path
        assert type(value) is not bool or bool in kinds or object in kinds, path


def test_example_record_has_exactly_the_members_of_a_record() -> None:
    example = _example()
    assert list(example) == list(_full_record())
    assert example["schema"] == SCHEMA_VERSION
    optional = _ALTERNATIVES | _REHEARSED
    assert {path for path, _ in _walk(example)} - optional == {path for path, _ in _walk(_full_record())} - optional


def test_each_command_of_the_example_has_one_outcome() -> None:
    for sent in _example()["qmp"]:
        assert len({f"qmp[].{name}" for name in sent} & _ALTERNATIVES) == 1


def test_example_record_can_be_told_to_a_person() -> None:
    first_line = summarize(_example()).partition("\n")[0]
    assert first_line == "2026-11-23T17:39:52.451176Z  demo  'savevm t1'  rewritten: done by snapshot jobs"


def test_readme_names_every_action() -> None:
    (row,) = [text for name, _, text in _rows("| member | type |") if name == "`action`"]
    assert re.findall(r"`(\w+)`:", row) == [action.value for action in Action]


@pytest.mark.parametrize("document", ["README.md", "CHANGELOG.md"])
def test_relative_links_exist(document: str) -> None:
    text = (_ROOT / document).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link and not link.startswith("#")]
    assert [link for link in links if not (_ROOT / link.partition("#")[0]).exists()] == []


def test_commands_of_run_that_readme_names_exist() -> None:
    usage = subprocess.run(["./run", "help"], cwd=_ROOT, capture_output=True, text=True, check=True).stdout
    named = set(re.findall(r"\./run ([a-z]+)", _README))
    assert named >= {"demo", "test"}
    assert named <= set(re.findall(r"\./run ([a-z]+)", usage))

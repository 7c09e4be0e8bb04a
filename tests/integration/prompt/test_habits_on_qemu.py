"""Secrets and JSON at a prompt of a real QEMU: what QEMU gets, and what is kept."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from shim.records.passwords import holds_secret
from tests.integration.machines import Machine
from tests.integration.prompt.sitting import sit
from tests.support.repl.screen import ENTER, UP, Person, pasted

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

# Members of QMP's commands that hold a password, as QEMU's schema names them. `data` does in a `secret` object only.
_PASSWORD: Final = re.compile(r"passw(or)?d|^cookie$")


@pytest.mark.parametrize(
    "line",
    [
        "object_add secret,id=sec0,data=hunter2",
        'object_add {"qom-type": "secret", "id": "sec0", "data": "hunter2"}',
        "qmp object-add qom-type=secret id=sec0 data=hunter2",
        '{"execute": "object-add",\n "arguments": {"qom-type": "secret",\n "id": "sec0", "data": "hunter2"}}',
        "{'execute': 'object-add', 'arguments': {'qom-type': 'secret', 'id': 'sec0', 'data': 'hunter2'}}",
    ],
)
def test_secret_reaches_qemu_and_no_history(vm: Machine, tmp_path: Path, line: str) -> None:
    path = tmp_path / "history"

    async def scene(person: Person) -> None:
        await person.runs("info name")
        person.type(pasted(line) + ENTER)
        await person.sees("is not kept in the history")
        await person.sees_prompt()
        # A later object needs the secret's id, so QEMU has it.
        assert "unknown" not in await person.runs("object_del sec0")
        person.type(UP + UP)
        await person.sees_line("info name")

    sit(vm, scene, columns=150, history=path)
    assert "hunter2" not in path.read_text()
    assert vm.observer.hmp("object_del sec0").startswith("Error: ")


def members(schema: Mapping[str, Any], name: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the names of all members that a type of the schema has, and those of its members'."""
    if name in seen:
        return
    kind = schema[name]
    match kind["meta-type"]:
        case "object":
            yield from (member["name"] for member in kind["members"])
            inner = [*kind["members"], *kind.get("variants", ())]
        case "alternate":
            inner = kind["members"]
        case "array":
            inner = [{"type": kind["element-type"]}]
        case _:
            inner = []
    for one in inner:
        yield from members(schema, one["type"], seen | {name})


def test_passwords_of_all_qmp_commands_are_known(vm: Machine) -> None:
    """Those of this QEMU. Names that end like `password-secret` are ids of a secret."""
    schema = {kind["name"]: kind for kind in vm.observer.returned("query-qmp-schema")}
    found = {
        (kind["name"], member)
        for kind in schema.values()
        if kind["meta-type"] == "command"
        for member in members(schema, kind["arg-type"])
        if _PASSWORD.search(member) and not member.endswith(("-secret", "id"))
    }
    assert {("set_password", "password"), ("change-vnc-password", "password")} <= found
    for command, member in sorted(found):
        assert holds_secret(f"qmp {command} {member}=hunter2")
        assert holds_secret(json.dumps({"execute": command, "arguments": {member: "hunter2"}}))


def test_json_is_carried_out_as_it_is_typed(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        person.type('{"execute":\r"human-monitor-command",\r"arguments": {"command-line": "info name"}\r}\r')
        await person.sees('"vm1\\r\\n"')
        await person.sees_prompt()
        assert "CommandNotFound" not in await person.runs('{"execute": "query-status", "id": 1}')
        said = await person.runs('{"execute": "query-statuss"}')
        assert "^ unknown QMP command 'query-statuss'; did you mean 'query-status'?" in said

    sit(vm, scene, columns=150)

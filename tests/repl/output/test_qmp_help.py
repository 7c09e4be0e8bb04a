"""A QMP command explained from QEMU's schema. The schema is a small one with all forms."""

from typing import Any, Final, cast

import pytest

from repl.lines.scanning import LineError
from repl.output.qmp_help import command_help, command_list, qmp_help
from tests.fakes.commands import COMMANDS, Command
from tests.fakes.qemu import FakeQEMU
from tests.support.repl import executing
from tests.support.repl.executing import Bench
from tests.support.repl.fragments import assert_fits, shown
from tests.support.repl.qemu_facts import SCHEMA, entry, member

OPTIONAL: Final[dict[str, Any]] = {"default": None}
DEPRECATED: Final[dict[str, Any]] = {"features": ["deprecated", "dynamic-auto-read-only"]}
BOTH: Final[dict[str, Any]] = {"features": ["deprecated", "unstable"]}
MORE: Final = (
    entry("20", "object", members=[member("size", "int"), member("next", "20", **OPTIONAL, **BOTH)]),
    entry("[20]", "array", **{"element-type": "20"}),
    entry("21", "alternate", members=[{"type": "20"}, {"type": "str"}, {"type": "1"}]),
    entry("22", "object", members=[member("a", "21"), member("b", "[20]"), member("c", "22", **OPTIONAL), member("d", "any")]),
    entry("walk", "command", **{"arg-type": "22", "ret-type": "[20]", "allow-oob": True}, **DEPRECATED),
    entry("count", "command", **{"arg-type": "0", "ret-type": "[20]"}, **BOTH),
    entry("name", "command", **{"arg-type": "0", "ret-type": "str"}),
)
TYPES: Final = {one["name"]: one for one in (*SCHEMA, *MORE)}

EXPLAINED: Final = {
    "stop": "stop\ntakes no arguments\nreturns nothing",
    "name": "name\ntakes no arguments\nreturns string",
    "snapshot-save": """\
snapshot-save
takes
  job-id: string
  tag: string
  devices: list of string
returns nothing""",
    "set-mode": """\
set-mode
takes
  mode (optional): one of keep, fail (deprecated)
  at: object
    x: integer
  speed: number
returns nothing""",
    "object-add": """\
object-add
takes
  qom-type: one of secret, iothread
  id: string
  with qom-type=secret:
    data: string
    limit: integer
    loaded (optional): boolean
  with qom-type=iothread:
    limit: string or null
    loaded: boolean
    rules: list of object
      x: integer
returns nothing""",
    "walk": """\
walk (deprecated)
It may run out of band (exec-oob).
takes
  a: object or string or one of secret, iothread
    size: integer
    next (optional, deprecated, unstable): object, like a
  b: list of object, like a
  c (optional): object, like the arguments
  d: any
returns list of object, like a""",
    "count": """\
count (deprecated, unstable)
takes no arguments
returns list of object
  size: integer
  next (optional, deprecated, unstable): object, like the answer""",
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_command_is_explained(name: str) -> None:
    assert shown(command_help(TYPES, name, width=80)) == EXPLAINED[name]


@pytest.mark.parametrize("width", [20, 40, 80])
@pytest.mark.parametrize("name", EXPLAINED)
def test_explanation_fits(name: str, width: int) -> None:
    assert_fits(command_help(TYPES, name, width=width), width)


def test_variant_without_members_is_not_told() -> None:
    variants = [{"case": "secret", "type": "0"}]
    types = {**TYPES, "7": {**TYPES["7"], "variants": variants}}
    assert "with" not in shown(command_help(types, "object-add", width=80))


def test_names_stand_in_lines() -> None:
    told = shown(command_list(["stop", "cont", "query-block"], width=20))
    assert told.splitlines() == ["QMP commands", "  stop cont", "  query-block", "'help qmp COMMAND'", "explains one."]


def explained(monkeypatch: pytest.MonkeyPatch, schema: Any, name: str) -> str:
    """Return what a VM with this schema is told to have; None: it has none to tell."""
    told: list[str] = []

    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        told.append(shown(await qmp_help(bench.executor, name, width=80)))

    if schema is not None:
        monkeypatch.setitem(cast(dict[str, Command], COMMANDS), "query-qmp-schema", Command(lambda vm, arguments: schema))
    executing.played(scene, FakeQEMU())
    return told[0]


def test_schema_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert explained(monkeypatch, SCHEMA, "stop") == EXPLAINED["stop"]
    assert explained(monkeypatch, SCHEMA, "").startswith("QMP commands\n  device_add object-add qom-set")
    with pytest.raises(LineError, match="unknown QMP command 'stpo'; did you mean 'stop'"):
        explained(monkeypatch, SCHEMA, "stpo")


def test_schema_that_is_not_there_or_not_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    assert explained(monkeypatch, None, "stop") == "this QEMU does not tell its schema"
    assert "schema" in explained(monkeypatch, [{"name": "stop", "meta-type": "command"}], "stop")

"""docs/migrating.md taken apart: what each program needs once, and each command before and after."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from tests.support.checkout import ROOT

__all__ = ["LANGUAGES", "Example", "Sent", "examples", "once", "sent"]

LANGUAGES: Final = ("python", "go", "bash")
# A command with its arguments, and whether it is a job.
Sent: TypeAlias = tuple[str, Any, bool]

_PAGE: Final = (ROOT / "docs" / "migrating.md").read_text(encoding="utf-8")
_BLOCK: Final = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
_HALVES: Final = re.compile(r"(?:#|//) before\n(.*)(?:#|//) after\n(.*)", re.DOTALL)
_GO_CALL: Final = re.compile(r'^(execute|runJob|hmp)\((".*?")(?:, (.*))?\)$')
_SHELL_CALL: Final = re.compile(r"^(qmp|run_job|hmp) ('.*?'|\S+)(?: '(.*)')?$")


@dataclass(frozen=True, slots=True)
class Example:
    """One heading. before, after: the code of each language."""

    heading: str
    before: dict[str, str]
    after: dict[str, str]


def _parts() -> Iterator[tuple[str, dict[str, str]]]:
    for part in _PAGE.split("\n## ")[1:]:
        yield part.partition("\n")[0], dict(_BLOCK.findall(part))


def once() -> dict[str, str]:
    """Return what each language needs once."""
    return dict(_parts())["Once for each program"]


def examples() -> list[Example]:
    found = []
    for heading, blocks in _parts():
        halves = {name: match.groups() for name, text in blocks.items() if (match := _HALVES.fullmatch(text))}
        if halves:
            found.append(Example(heading, *({name: half[place] for name, half in halves.items()} for place in (0, 1))))
    return found


def sent(language: str, code: str) -> list[Sent]:
    """Return what a piece of code sends: HMP's lines under the name hmp."""
    return {"python": _sent_by_python, "go": _sent_by_go, "bash": _sent_by_shell}[language](code)


def _sent_by_python(code: str) -> list[Sent]:
    found = []
    for statement in ast.parse(f"async def f():\n{_indented(code)}").body[0].body:  # type: ignore[attr-defined]
        call = statement.value.value
        name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id
        first, *rest = map(ast.literal_eval, call.args)
        found.append(_told(name, first, rest[0] if rest else {}))
    return found


def _indented(code: str) -> str:
    return "".join(f"    {line}\n" for line in code.splitlines())


def _sent_by_go(code: str) -> list[Sent]:
    found = []
    for line in code.splitlines():
        call = _GO_CALL.fullmatch(line)
        assert call is not None, line
        arguments = "{}" if call[3] in (None, "nil") else call[3].replace("[]Args{", "[]{").replace("Args{", "{")
        while "[]" in arguments:
            # A slice's literal is in braces, too.
            begin = arguments.index("[]")
            opened = arguments.index("{", begin)
            closed = _closing(arguments, opened)
            arguments = f"{arguments[:begin]}[{arguments[opened + 1 : closed]}]{arguments[closed + 1 :]}"
        found.append(_told(call[1], json.loads(call[2]), json.loads(arguments)))
    return found


def _closing(text: str, opened: int) -> int:
    depth = 0
    for place in range(opened, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place
    raise AssertionError(f"not closed: {text}")


def _sent_by_shell(code: str) -> list[Sent]:
    found = []
    for line in code.splitlines():
        call = _SHELL_CALL.fullmatch(line)
        assert call is not None, line
        found.append(_told(call[1], call[2].strip("'"), json.loads(call[3] or "{}")))
    return found


def _told(function: str, first: str, arguments: Any) -> Sent:
    return ("hmp", first, False) if function == "hmp" else (first, arguments, function in ("run_job", "runJob"))

"""Which tool a client is: what a person would call it, wherever it runs, so that one tool on a hundred hosts counts as one."""

import re
from collections.abc import Iterator
from typing import Final

from audit.counting.locating import base_name, path_of, paths_of
from audit.reporting.parties import Tool
from shim.qmp import JSON
from shim.records.identity import lasting_name

__all__ = ["OTHER_TOOLS", "name_of_program", "names_of", "tool_of"]

OTHER_TOOLS: Final = Tool("(other tools)")
_UNKNOWN: Final = "unknown program"
# Root's uid and name, for older records, which have only the number.
_ROOT: Final = (0, "root")

# Parts of unit names that differ in each run: systemd.unit(5), "instance"; systemd-run(1); sd-login(3); desktops' scopes.
_INSTANCE: Final = re.compile(r"@[^.]*(?:\.[^.]+)*?(?=\.(?:service|scope)$)")
_SESSION: Final = re.compile(r"session-\w+\.scope")
_TRANSIENT: Final = re.compile(r"run-(?:u\d+|r[0-9a-f]+|p\d+-i\d+)\.(?:service|scope)")
_NUMBERED: Final = re.compile(r"-(?:\d+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?=\.scope$)")
# Other such parts: a container's id, as with podman, or the day.
_ID: Final = re.compile(r"[0-9a-f]{32,}|(?<=-)[0-9]{8}(?=\.service$)")
# Of these runtimes the records have ids, which are as short-lived as the containers.
_BY_ID: Final = {
    **{name: f"{name} container" for name in ("docker", "podman", "containerd", "cri-o", "ecs")},
    "kubernetes": "kubernetes pod",
    "container": "a container",
}


def tool_of(client: dict[str, JSON]) -> Tool:
    """Return the tool of a valid record's client."""
    uid, user = client["uid"], client["user"]
    if user is None and uid is not None:
        user = _ROOT[1] if uid == _ROOT[0] else str(uid)
    name = lasting_name(client["tool"] or "") or name_of_program(client["exe"], _host(client["address"]))
    return Tool(name, _place(client["unit"], client["container"]), user or "")


def name_of_program(exe: str | None, host: str) -> str:
    """Return what a tool is called of which only this is known. host: of its address; "" for none."""
    return base_name(exe) or host or _UNKNOWN


def names_of(client: dict[str, JSON]) -> Iterator[str]:
    """Yield what a person may call a client's tool: its names, and the paths of its program and its script."""
    tool = tool_of(client)
    yield from (tool.name, tool.label)
    for text in (client["exe"], _host(client["address"])):
        if text:
            yield from (text, base_name(text))
    yield from dict.fromkeys(filter(None, (*paths_of(client), path_of(client))))


def _host(address: str | None) -> str:
    return (address or "").rpartition(":")[0]


def _place(unit: str | None, container: str | None) -> str:
    if unit is not None:
        if _SESSION.fullmatch(unit):
            unit = "login session"
        elif _TRANSIENT.fullmatch(unit):
            unit = "systemd-run"
        else:
            unit = _ID.sub("*", _NUMBERED.sub("", _INSTANCE.sub("@", unit)))
    if container is None:
        return unit or ""
    runtime, _, name = container.partition(":")
    where = _BY_ID.get(runtime) or f"{runtime} {name}"
    return where if unit is None else f"{unit} in {where}"

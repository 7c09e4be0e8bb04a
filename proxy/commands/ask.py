"""`hmp-proxy status` and its like: ask a running proxy, or have it do something, and print the result."""

import json
import logging
import os
import pwd
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import TextIO, TypeVar, assert_never

from host.errors import ConfigError
from proxy.command_line.invocations import AskInvocation, Question
from proxy.command_line.places import default_path
from proxy.commands.asking import NoProxyError, request
from proxy.commands.tools import tool_names
from proxy.control.fitting import fitted_table
from proxy.control.protocol import Request
from proxy.control.replacement import lines_of, read_replacement
from proxy.control.status import State, read_patterns, read_status
from proxy.control.table import as_table, clients_table
from shim.printable import enumerated
from shim.qmp import JSON

__all__ = ["ask", "status_text"]

_log = logging.getLogger(__name__)

_Read = TypeVar("_Read")


def ask(invocation: AskInvocation, output: TextIO) -> int:
    """Do what is asked for, print the result, and return the exit status. Raises ProgramError."""
    if invocation.watches:
        from proxy.commands.watch import watch  # here, because few want it

        watch(lambda size: status_text(invocation, size), output)
        return 0
    if invocation.question is Question.RELOAD and (mistakes := _request(invocation, Question.RELOAD, waits=True)):
        for mistake in mistakes:
            _log.error("%s", mistake)
        return ConfigError.exit_status
    told = _told(invocation)
    output.write(told if told.endswith("\n") else f"{told}\n")
    return 0


def status_text(invocation: AskInvocation, size: os.terminal_size | None = None) -> str:
    """Return the status as a table, of all VMs or of one with its clients. Raises ProgramError.

    size: of the terminal that the table of all VMs is to fit into; None for a whole table.
    """
    told = _request(invocation, Question.STATUS, vm=invocation.vm)
    vms, patterns = _read(invocation, told, read_status), _read(invocation, told, read_patterns)
    notes = lines_of(_read(invocation, told, read_replacement))
    if size is not None and invocation.vm is None:
        return fitted_table(vms, patterns, notes, columns=size.columns, lines=size.lines, now=datetime.now(UTC))
    tool_name = tool_names(vm for vm in vms if vm.name == invocation.vm)
    return as_table(vms, invocation.vm, patterns, notes=notes, user_name=_user_name, tool_name=tool_name)


def _told(invocation: AskInvocation) -> str:
    vm = invocation.vm
    match invocation.question:
        case Question.STATUS:
            return _status_as_json(invocation) if invocation.as_json else status_text(invocation)
        case Question.CLIENTS:
            return _clients(invocation)
        case Question.METRICS:
            return str(_request(invocation, Question.METRICS))
        case Question.DISCONNECT:
            who = _request(invocation, Question.DISCONNECT, vm=vm, client=invocation.client)
            return "\n".join(f"disconnected {one}" for one in who)
        case Question.PAUSE:
            return _pause(invocation)
        case Question.RESUME:
            was_paused = _request(invocation, Question.RESUME, vm=vm)["was_paused"]
            return f"snapshot commands of '{vm}' go on" if was_paused else f"snapshot commands of '{vm}' were not paused"
        case Question.RELOAD:
            return "the configuration was read again"
        case Question.UPGRADE:
            from proxy.commands.upgrade import upgrade  # here, as above

            return upgrade(invocation.path or default_path("admin"), ends_others=invocation.end_others)
        case question:
            assert_never(question)


def _request(invocation: AskInvocation, question: Question, *, waits: bool = False, **members: JSON) -> JSON:
    name = "admin" if invocation.question.acts else "control"
    path = invocation.path or default_path(name)
    return request(path, f"--{name}", Request(question.value, members), waits=waits)


def _read(invocation: AskInvocation, told: JSON, read: Callable[[JSON], _Read]) -> _Read:
    """Read a part of a status. Raises NoProxyError if it is not one."""
    try:
        return read(told)
    except ValueError as exc:
        path = invocation.path or default_path("control")
        raise NoProxyError(path, "what answers there is another version of hmp-proxy") from exc


def _status_as_json(invocation: AskInvocation) -> str:
    return json.dumps(_request(invocation, Question.STATUS, vm=invocation.vm), indent=2)


def _clients(invocation: AskInvocation) -> str:
    told = _request(invocation, Question.STATUS, vm=invocation.vm)
    vms = _read(invocation, told, read_status)
    if invocation.as_json:
        return json.dumps({"vms": [{"name": vm["name"], "clients": vm["clients"]} for vm in told["vms"]]}, indent=2)
    if given := [vm.name for vm in vms if vm.state is State.HANDED_OVER]:
        _log.warning("not shown are the clients of VMs that were handed over to another process: %s", enumerated(given))
    return clients_table(vms, _user_name, tool_names(vms), names_vm=invocation.vm is None)


def _pause(invocation: AskInvocation) -> str:
    asked = {"vm": invocation.vm, "for_s": invocation.for_s, "no_wait": invocation.no_wait}
    told_of = _request(invocation, Question.PAUSE, waits=not invocation.no_wait, **asked)
    told = "one still runs" if told_of["at_work"] else "none runs" if told_of["connected"] else "its QEMU is not there"
    return f"snapshot commands of '{invocation.vm}' are paused, and {told}"


@cache
def _user_name(uid: int) -> str:
    """Return a user's name. It is looked up here and not in the proxy, because a directory service may take its time."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

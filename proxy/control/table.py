"""The state of a process's VMs, as tables for a person."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from proxy.control.status import ClientStatus, PatternStatus, VMStatus
from proxy.routing.vm_history import DeprecatedUse
from shim.printable import aligned, printable

__all__ = ["HEADER", "as_table", "cells_of", "clients_table", "count_of", "pattern_problems", "problems", "span", "times"]

HEADER: Final = ("VM", "STATE", "QEMU", "POLICY", "MODE", "CLIENTS", "WAITING", "COMMANDS", "DONE", "FAILED", "RUNNING")
_CLIENT_HEADER: Final = ("CLIENT", "PID", "USER", "TOOL", "PROGRAM", "SINCE", "AT", "WAITS FOR")
_UNITS: Final = ("", "k", "M", "G", "T")
_STEP: Final = 1000
_EXACT: Final = 10_000


def _number(uid: int) -> str:
    return str(uid)


def _unknown(_: ClientStatus) -> str:
    return ""


def as_table(
    vms: Sequence[VMStatus],
    name: str | None = None,
    patterns: Sequence[PatternStatus] = (),
    *,
    notes: Sequence[str] = (),
    user_name: Callable[[int], str] = _number,
    tool_name: Callable[[ClientStatus], str] = _unknown,
) -> str:
    """Return a table of VMs for a person, or of one VM with its clients. Raises KeyError if no VM has that name.

    patterns: those by which VMs are discovered. notes: lines about the process. user_name: returns a user's name; by
    default the number, because looking up a name may take long. tool_name: returns the name by which a person knows a client.
    """
    if name is None:
        told = [
            *_told("", notes),
            *_told("", problems(vms)),
            *_told("", pattern_problems(patterns)),
            *_told("", _failures(vms)),
        ]
        return "\n".join([*aligned([HEADER, *map(cells_of, vms)]), *told])
    vm = next((vm for vm in vms if vm.name == name), None)
    if vm is None:
        raise KeyError(name)
    sections = [
        *_told("", notes),
        *_told("", problems([vm])),
        *_told("", _totals(vm)),
        *_told("", clients_table([vm], user_name, tool_name).splitlines()),
        *_told("LAST FAILURES", _failures([vm], len(vm.failures))),
        *_told("STILL USED", _uses(vm)),
    ]
    return "\n".join([*aligned([HEADER, cells_of(vm)]), *sections])


def clients_table(
    vms: Sequence[VMStatus],
    user_name: Callable[[int], str] = _number,
    tool_name: Callable[[ClientStatus], str] = _unknown,
    *,
    names_vm: bool = False,
) -> str:
    """Return a table of the VMs' clients. names_vm: add a column for the VM. The other arguments are as for `as_table`."""
    rows: list[tuple[str, ...]] = [("VM", *_CLIENT_HEADER)]
    rows += [(vm.name, *_client_row(client, user_name, tool_name)) for vm in vms for client in vm.clients]
    return "\n".join(aligned([row if names_vm else row[1:] for row in rows]))


def span(seconds: float) -> str:
    """Return a duration in its two largest units."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours < 24 else f"{hours // 24}d{hours % 24:02}h"


def count_of(number: int) -> str:
    """Return a number in a few characters: 9999, 12k, 3400M."""
    unit = 0
    while number >= _EXACT and unit < len(_UNITS) - 1:
        number, unit = number // _STEP, unit + 1
    return f"{number}{_UNITS[unit]}"


def times(count: int) -> str:
    """Return how often something happened, in words."""
    return "once" if count == 1 else f"{count_of(count)} times"


def cells_of(vm: VMStatus) -> tuple[str, ...]:
    """Return a VM's cells, in the order of HEADER."""
    running = "" if vm.running is None else f"{vm.running.command} ({span(vm.running.for_s)}, {vm.running.who})"
    numbers = (vm.totals.clients, vm.totals.waiting, vm.totals.commands, vm.count("ok"), vm.count("failed", "unknown"))
    return (vm.name, _state(vm), vm.qemu or "", vm.policy, vm.mode, *map(count_of, numbers), running)


def _state(vm: VMStatus) -> str:
    silent = "" if vm.silent_s is None else f", QEMU silent {span(vm.silent_s)}"
    if vm.pause is None:
        return f"{vm.state}{silent}"
    left = "" if vm.pause.left_s is None else f", {span(vm.pause.left_s)} left"
    return f"{vm.state}{silent}, paused {span(vm.pause.for_s)}{left}"


def _client_row(
    client: ClientStatus, user_name: Callable[[int], str], tool_name: Callable[[ClientStatus], str]
) -> tuple[str, ...]:
    return (
        str(client.number),
        "" if client.pid is None else str(client.pid),
        "" if client.uid is None else user_name(client.uid),
        tool_name(client),
        client.address or client.program or "unknown",
        span(client.connected_s),
        client.listener or "",
        client.waits_for or "",
    )


def _told(heading: str, lines: Sequence[str]) -> list[str]:
    return ["", *([heading] if heading else []), *lines] if lines else []


def problems(vms: Sequence[VMStatus]) -> list[str]:
    """Return a line for each reason why a VM is not served, or not as it should be."""
    told = [f"{printable(vm.name)}: {printable(vm.problem)}" for vm in vms if vm.problem is not None]
    told += [f"{printable(vm.name)}: {printable(text)}" for vm in vms for text in vm.unmatched]
    return told + list(_troubles_of_logs(vms))


def _troubles_of_logs(vms: Sequence[VMStatus]) -> Iterator[str]:
    """Yield a line for each audit log that lacks records; many VMs may write to one log."""
    names: dict[tuple[str | None, str], list[str]] = {}
    for vm in vms:
        if vm.audit_trouble is not None:
            names.setdefault((vm.audit, vm.audit_trouble), []).append(vm.name)
    for (_, trouble), several in names.items():
        more = f" and {len(several) - 1} more" if several[1:] else ""
        yield f"{printable(several[0])}{more}: {printable(trouble)}"


def pattern_problems(patterns: Sequence[PatternStatus]) -> list[str]:
    """Return a line for each problem of a `discover` pattern."""
    told = [f"discover {printable(one.pattern)}: it fits no socket" for one in patterns if not (one.sockets or one.problems)]
    return told + [f"discover {printable(one.pattern)}: {printable(text)}" for one in patterns for text in one.problems]


def _failures(vms: Sequence[VMStatus], most: int = 1) -> list[str]:
    """Return a line for each of the last failures of these VMs, so many for each VM."""
    shown = [(vm, failure) for vm in vms for failure in vm.failures[-most:]]
    return [
        printable(f"{vm.name}: {failure.time}: '{failure.command}' of {failure.client}: {failure.text}")
        + (f" ({times(failure.count)})" if failure.count > 1 else "")
        for vm, failure in shown
    ]


def _totals(vm: VMStatus) -> list[str]:
    totals = vm.totals
    rows: list[tuple[str | int, ...]] = [
        ("bytes from clients", totals.from_clients_bytes, "from QEMU", totals.from_qemu_bytes),
        ("queued for clients", totals.queued_for_clients_bytes, "queued for QEMU", totals.queued_for_qemu_bytes),
        ("queued from clients", totals.queued_from_clients_bytes, "records to write", totals.records_queued),
        ("clients so far", totals.clients_ever, "disconnected", totals.cut),
        ("clients refused", sum(totals.refused.values()), "commands passed", totals.commands),
        ("connected to QEMU again", totals.reconnects, "records lost", totals.records_lost),
    ]
    return aligned([tuple(cell if isinstance(cell, str) else count_of(cell) for cell in row) for row in rows])


def _uses(vm: VMStatus) -> list[str]:
    uses = sorted(vm.deprecated, key=lambda one: -one[1])
    return aligned([(use.tool, use.command, times(count), _advice(use)) for use, count in uses]) if uses else []


def _advice(use: DeprecatedUse) -> str:
    return f"use {use.replacement}" if use.replacement else ""

"""The QMP commands of the modelled QEMU, with the checks of their arguments.

The texts are QEMU 7.2's (qapi/qobject-input-visitor.c).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

from tests.fakes.hmp import run_hmp
from tests.fakes.jobs import QMPError
from tests.fakes.vm import SNAPSHOT_JOBS_SINCE, VM

__all__ = ["COMMANDS", "OOB_COMMANDS", "Command", "check_arguments", "command_names", "run_command"]

Arguments: TypeAlias = Mapping[str, Any]
# Commands that may run out of band (query-qmp-schema, allow-oob).
OOB_COMMANDS: Final = frozenset({"migrate-pause", "migrate-recover", "query-yank", "yank"})
TYPES: Final[Mapping[str, type]] = {"string": str, "boolean": bool, "integer": int, "array": list}
SNAPSHOT_JOBS: Final = frozenset({"snapshot-save", "snapshot-load", "snapshot-delete"})


@dataclass(frozen=True, slots=True)
class Command:
    """A QMP command; `parameters` are name → type in the order of the schema, a leading `?` for an optional one."""

    run: Callable[[VM, Arguments], Any]
    parameters: Mapping[str, str] = field(default_factory=dict)


def command_names(vm: VM) -> list[str]:
    """Return the commands that this version has."""
    has_jobs = vm.version >= SNAPSHOT_JOBS_SINCE
    return [name for name in COMMANDS if has_jobs or name not in SNAPSHOT_JOBS]


def run_command(vm: VM, name: str, arguments: Arguments) -> Any:
    """Check the arguments, run the command and give what it returns; QMPError when it fails."""
    if name not in command_names(vm):
        raise QMPError(f"The command {name} has not been found", "CommandNotFound")
    command = COMMANDS[name]
    check_arguments(command.parameters, arguments)
    return command.run(vm, arguments)


def check_arguments(parameters: Mapping[str, str], arguments: Arguments) -> None:
    """Raise QMPError for the first parameter of the schema that is missing or ill-typed, then for an unknown one."""
    for name, kind in parameters.items():
        if name in arguments:
            _check_type(name, kind.removeprefix("?"), arguments[name])
        elif not kind.startswith("?"):
            raise QMPError(f"Parameter '{name}' is missing")
    for name in arguments:
        if name not in parameters:
            raise QMPError(f"Parameter '{name}' is unexpected")


def _check_type(name: str, kind: str, value: Any) -> None:
    expected = "array" if kind == "strings" else kind
    if type(value) is not TYPES[expected]:
        raise QMPError(f"Invalid parameter type for '{name}', expected: {expected}")
    if isinstance(value, list):
        for position, item in enumerate(value):
            _check_type(f"{name}[{position}]", "string", item)


def _stop(vm: VM, arguments: Arguments) -> dict[str, Any]:
    vm.stop("paused")
    return {}


def _cont(vm: VM, arguments: Arguments) -> dict[str, Any]:
    vm.start()
    return {}


def _quit(vm: VM, arguments: Arguments) -> dict[str, Any]:
    vm.emit("SHUTDOWN", {"guest": False, "reason": "host-qmp-quit"})
    vm.has_quit = True
    return {}


def _query_status(vm: VM, arguments: Arguments) -> dict[str, Any]:
    return {"running": vm.run_state == "running", "singlestep": False, "status": vm.run_state}


def _query_version(vm: VM, arguments: Arguments) -> dict[str, Any]:
    return {"qemu": vm.version._asdict(), "package": vm.package}


def _query_cpus_fast(vm: VM, arguments: Arguments) -> list[dict[str, Any]]:
    props = {"core-id": 0, "thread-id": 0, "socket-id": 0}
    cpu = {"cpu-index": 0, "thread-id": 4242, "target": "x86_64", "qom-path": "/machine/unattached/device[0]"}
    return [{**cpu, "props": props}]


def _query_graph(vm: VM, arguments: Arguments) -> dict[str, Any]:
    if vm.faults.is_graph_refused:
        raise QMPError("Unstable command x-debug-query-block-graph disabled by policy", "CommandNotFound")
    return vm.graph.query_graph()


def _query_migrate(vm: VM, arguments: Arguments) -> dict[str, Any]:
    return vm.query_migrate()


def _query_capabilities(vm: VM, arguments: Arguments) -> list[dict[str, Any]]:
    names = ("xbzrle", *dict.fromkeys(("multifd", *vm.capabilities)))
    return [{"capability": name, "state": name in vm.capabilities} for name in names]


def _snapshot_save(vm: VM, arguments: Arguments) -> dict[str, Any]:
    tag, devices, vmstate = arguments["tag"], arguments["devices"], arguments["vmstate"]
    work = partial(vm.save_snapshot, tag, devices, vmstate, overwrite=False)
    vm.jobs.start(arguments["job-id"], "snapshot-save", work)
    return {}


def _snapshot_load(vm: VM, arguments: Arguments) -> dict[str, Any]:
    tag, devices, vmstate = arguments["tag"], arguments["devices"], arguments["vmstate"]
    vm.jobs.start(arguments["job-id"], "snapshot-load", partial(vm.load_snapshot, tag, devices, vmstate))
    return {}


def _snapshot_delete(vm: VM, arguments: Arguments) -> dict[str, Any]:
    work = partial(vm.delete_snapshot, arguments["tag"], arguments["devices"])
    vm.jobs.start(arguments["job-id"], "snapshot-delete", work)
    return {}


def _job_dismiss(vm: VM, arguments: Arguments) -> dict[str, Any]:
    vm.jobs.dismiss(arguments["id"])
    return {}


def _human_monitor_command(vm: VM, arguments: Arguments) -> str:
    if not 0 <= arguments.get("cpu-index", 0) < 1:
        raise QMPError("Parameter 'cpu-index' expects a CPU number")
    return run_hmp(vm, arguments["command-line"]).replace("\n", "\r\n")


SAVE_PARAMETERS: Final = {"job-id": "string", "tag": "string", "vmstate": "string", "devices": "strings"}
DELETE_PARAMETERS: Final = {"job-id": "string", "tag": "string", "devices": "strings"}

COMMANDS: Final[Mapping[str, Command]] = {
    "human-monitor-command": Command(_human_monitor_command, {"command-line": "string", "cpu-index": "?integer"}),
    "snapshot-save": Command(_snapshot_save, SAVE_PARAMETERS),
    "snapshot-load": Command(_snapshot_load, SAVE_PARAMETERS),
    "snapshot-delete": Command(_snapshot_delete, DELETE_PARAMETERS),
    "query-jobs": Command(lambda vm, arguments: vm.jobs.query()),
    "job-dismiss": Command(_job_dismiss, {"id": "string"}),
    "query-block-jobs": Command(lambda vm, arguments: []),
    "query-block": Command(lambda vm, arguments: vm.graph.query_block()),
    "query-named-block-nodes": Command(
        lambda vm, arguments: vm.graph.query_named_block_nodes(flat=arguments.get("flat", False)), {"flat": "?boolean"}
    ),
    "x-debug-query-block-graph": Command(_query_graph),
    "query-migrate": Command(_query_migrate),
    "query-migrate-capabilities": Command(_query_capabilities),
    "query-replay": Command(lambda vm, arguments: {"mode": vm.replay_mode, "icount": 0}),
    "query-cpus-fast": Command(_query_cpus_fast),
    "query-memory-size-summary": Command(lambda vm, arguments: {"base-memory": vm.ram_bytes, "plugged-memory": 0}),
    "query-name": Command(lambda vm, arguments: {}),
    "query-version": Command(_query_version),
    "query-status": Command(_query_status),
    "query-commands": Command(lambda vm, arguments: [{"name": name} for name in command_names(vm)]),
    "query-yank": Command(lambda vm, arguments: [{"type": "chardev", "id": "qmp"}]),
    "stop": Command(_stop),
    "cont": Command(_cont),
    "quit": Command(_quit),
}

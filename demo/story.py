"""The story: a savevm that QEMU refuses, and the same bytes through the proxy. Each answer is checked when it is shown."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from audit.counting.filters import Filters
from audit.counting.report_builder import make_report
from audit.forms.report_table import as_table
from audit.lines import details
from demo.errors import DemoError
from demo.interrupt import Waiter
from demo.screen import Screen
from demo.vm import ROOT, VM, Program, proxy_command, running, shown, temporary_folder
from demo.wire import LegacyTool, connect

__all__ = ["tell"]

_NATIVE_ERROR: Final = "Error: Device 'pflash1' is writable but does not support snapshots\r\n"
_SUCCESS: Final = ""
_OLDEST_QEMU: Final = (6, 0)
_OUTPUT_DEADLINE_S: Final = 5.0
_RETRY_S: Final = 0.01
_REPORT_WIDTH: Final = 95


@dataclass(frozen=True, slots=True)
class _Stage:
    """What every scene needs."""

    screen: Screen
    waiter: Waiter
    folder: Path
    vm: VM
    qemu: Program

    @contextlib.contextmanager
    def connected(self, path: Path, program: Program) -> Iterator[LegacyTool]:
        with connect(path, program, self.waiter, self.screen) as tool:
            yield tool


def tell(screen: Screen, waiter: Waiter) -> None:
    """Tell the whole story. Raises DemoError if something is not as told, Interrupted, and OSError."""
    with temporary_folder() as folder:
        vm = VM(folder)
        vm.make_images()
        waiter.check()
        with running("QEMU", vm.command(), vm.log) as qemu:
            stage = _Stage(screen, waiter, folder, vm, qemu)
            _without_proxy(stage)
            _with_proxy(stage)
    _explain_use(screen)


def _without_proxy(stage: _Stage) -> None:
    screen = stage.screen
    with stage.connected(stage.vm.qmp_path, stage.qemu) as tool:
        version = _version(tool.negotiate())
        accelerator = "KVM" if tool.execute("query-kvm")["enabled"] else "TCG"
        screen.step(f"A VM with the disks of a UEFI guest: QEMU {version} ({accelerator}), 32 MiB")
        screen.say("--> is what a legacy tool sends to its QMP socket, <-- is what it gets.")
        screen.shell(shown(stage.vm.command()))
        screen.say("d0: the guest's disk, qcow2 on virtio, which can hold snapshots")
        screen.say("pflash1: the varstore, raw and writable; UEFI firmware keeps its variables in it")
        screen.say(
            "The disk gets its first content: 64 KiB of 0xaa. HMP's qemu-io writes through the virtual disk as the guest "
            "would; this guest has no operating system that could do it."
        )
        _qemu_io(stage, tool, "write -P 0xaa 0 64k")

        screen.step("What a legacy tool gets from QEMU itself")
        _expect(tool, "savevm t1", _NATIVE_ERROR)
        screen.say("One writable disk that cannot hold a snapshot, and HMP's savevm, loadvm and delvm all fail.")


def _version(greeting: Any) -> str:
    triple = greeting["version"]["qemu"]
    if (triple["major"], triple["minor"]) < _OLDEST_QEMU:
        raise DemoError(f"this QEMU is {triple['major']}.{triple['minor']}; the snapshot jobs came with 6.0")
    return f"{triple['major']}.{triple['minor']}.{triple['micro']}"


def _with_proxy(stage: _Stage) -> None:
    listen, audit = stage.folder / "legacy.sock", stage.folder / "audit.jsonl"
    command = proxy_command(stage.vm, listen, audit)
    with running("hmp-proxy", command, stage.folder / "proxy.log") as proxy:
        with stage.connected(listen, proxy) as tool:
            tool.negotiate()
            _save(stage, tool, shown(command))
            _load(stage, tool)
            _delete(stage, tool)
        _show_audit(stage.screen, audit)


def _save(stage: _Stage, tool: LegacyTool, command: str) -> None:
    screen = stage.screen
    screen.step("The same bytes through hmp-proxy")
    screen.shell(command)
    _expect(tool, "savevm t1", _SUCCESS)
    screen.say('"" is how HMP says that all went well.')
    screen.say(
        "QEMU's job snapshot-save took d0 and not pflash1. The varstore's content comes back at loadvm all the same: "
        "it is part of the VM state."
    )

    screen.step("The snapshot is there")
    table = _expect_with(tool, "info snapshots", "List of snapshots present on all disks:", " t1 ")
    screen.show(table)


def _load(stage: _Stage, tool: LegacyTool) -> None:
    screen = stage.screen
    screen.step("The guest's disk changes")
    _qemu_io(stage, tool, "write -P 0xbb 0 64k")
    _qemu_io(stage, tool, "read -P 0xbb 0 64k")
    screen.say("read -P compares each byte: all 64 KiB are 0xbb now.")

    screen.step("Back to the snapshot")
    _expect(tool, "loadvm t1", _SUCCESS)
    _qemu_io(stage, tool, "read -P 0xaa 0 64k")
    screen.say("All 64 KiB are 0xaa again: the disk's content is back.")


def _delete(stage: _Stage, tool: LegacyTool) -> None:
    stage.screen.step("The snapshot is removed")
    _expect(tool, "delvm t1", _SUCCESS)
    _expect(tool, "info snapshots", "There is no snapshot available.\r\n")


def _expect(tool: LegacyTool, command_line: str, answer: str) -> None:
    got = tool.monitor(command_line)
    if got != answer:
        raise DemoError(f"'{command_line}' was answered {got!r}, and not {answer!r}")


def _expect_with(tool: LegacyTool, command_line: str, *parts: str) -> str:
    got = tool.monitor(command_line)
    for part in parts:
        if part not in got:
            raise DemoError(f"'{command_line}' was answered {got!r}, without {part!r}")
    return got


def _qemu_io(stage: _Stage, tool: LegacyTool, command: str) -> None:
    """Run a command of HMP's qemu-io, and show its result, which goes to QEMU's standard output and not to the tool."""
    seen = len(stage.qemu.output)
    _expect(tool, f'qemu-io d0 "{command}"', _SUCCESS)
    deadline = time.monotonic() + _OUTPUT_DEADLINE_S
    while "/sec" not in (said := stage.qemu.output[seen:]):
        stage.qemu.check_alive()
        if time.monotonic() > deadline:
            raise DemoError(f"qemu-io '{command}' did not say how it went: {said!r}")
        stage.waiter.sleep(_RETRY_S)
    line = said.partition("\n")[0]
    if not line.startswith(("wrote 65536/65536 ", "read 65536/65536 ")):
        raise DemoError(f"qemu-io '{command}' failed: {line}")
    stage.screen.say(f"QEMU's own output: {line}")


def _show_audit(screen: Screen, audit: Path) -> None:
    records = [json.loads(line) for line in audit.read_text(encoding="ascii").splitlines()]
    rewritten = [record for record in records if record["action"] == "rewritten"]
    commands = [record["command_line"] for record in rewritten]
    if commands != ["savevm t1", "info snapshots", "loadvm t1", "delvm t1", "info snapshots"]:
        raise DemoError(f"the audit log has other commands than were sent: {commands}")
    screen.step("What the audit log tells")
    screen.say(
        f"One JSON record for each human-monitor-command, here {len(records)}. The three that changed something, in words:"
    )
    for record in rewritten:
        if record["command_line"] != "info snapshots":
            screen.show("\n" + details(record))
    screen.say("And what a team that wants to leave HMP asks, who still depends on it:")
    screen.shell(f"{_program('hmp-audit', 'audit')} report audit.jsonl")
    screen.show(as_table(make_report([str(audit)], Filters()), width=_REPORT_WIDTH))


def _explain_use(screen: Screen) -> None:
    program = _program("hmp-proxy", "proxy")
    screen.step("For a VM of your own (all processes and files of this demo are gone)")
    screen.say("Give QEMU a QMP socket, put the proxy in front of it, and point the legacy tools at the proxy's socket:")
    screen.shell("qemu-system-x86_64 ... -qmp unix:/run/vm1/qmp.sock,server=on,wait=off")
    screen.shell(f"{program} --upstream unix:/run/vm1/qmp.sock --listen unix:/run/vm1/legacy.sock --audit /run/vm1/audit.jsonl")
    screen.say("The tools connect to /run/vm1/legacy.sock. QEMU serves one client per socket, so nobody else uses qmp.sock.")
    screen.say("There is a prompt for yourself, too ('./run prompt' has a VM to try it on):")
    screen.shell(f"{_program('hmp-repl', 'repl')} /run/vm1/legacy.sock")


def _program(name: str, module: str) -> str:
    """Return the shell command that starts one of our programs here: installed, or from the checkout."""
    script = Path(sys.executable).with_name(name)
    return str(script) if script.exists() else f"cd {ROOT} && {sys.executable} -m {module}"

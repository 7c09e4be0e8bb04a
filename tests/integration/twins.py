"""Twins: one machine twice, each on images of its own, one asked natively and one through `hmp-proxy`.

Both live at the same time, so that neither finds a warmer cache, and get the same steps. What a client can see must then be
the same, in the same order. Made equal beforehand is only what differs between any two runs
of QEMU: the times of events, and size, date and clock of a snapshot in the table of `info snapshots`; the random node
names `#block123`; and the name that savevm makes of the time.
"""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from shim.plans.jobs import JOB_PREFIX
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import IDLE_ROM, KIB, QEMUVM, make_qcow2, make_raw, snapshots_of
from tests.support.raw_client import NO_ID, RawClient, command_bytes

__all__ = ["IDS", "Boot", "Case", "Course", "Step", "Until", "make_images", "normal_text", "play", "run_setup", "started"]


@dataclass(frozen=True, slots=True)
class Until:
    """Wait for an event, if it has not come yet in this set-up."""

    event: str


# An HMP line, raw bytes, or a command with its arguments.
Step: TypeAlias = str | bytes | tuple[str, Mapping[str, Any]]

# Any JSON value is an id (qmp-spec.rst, "Issuing Commands"). QEMU 7.2 may reorder the members of an object.
IDS: Final[tuple[object, ...]] = (
    *(NO_ID, 0, "a", None, -7, 1.5, True, False, [1, {"b": []}, [None]], {"k": {"l": "v"}}, "", 2**63, 'é\n😀"\\\x7f', {}),
)

_TIMESTAMP: Final = re.compile(r'"timestamp": \{\s*"seconds": \d+,\s*"microseconds": \d+\s*\}')
_NODE_NAME: Final = re.compile(r"#block\d+")
_TIMELY_TAG: Final = re.compile(r"\bvm-\d{14}\b")
_TABLE_ROW: Final = re.compile(r" *(\d[\d.e+]* [KM]?i?B) \d{4}-\d\d-\d\d \d\d:\d\d:\d\d +\d+:\d\d:\d\d\.\d{3}")


@dataclass(frozen=True, slots=True)
class Boot:
    """An earlier life of the machine on the same images."""

    steps: Sequence[Step]
    args: str = ""
    memory: str = "32"


@dataclass(frozen=True, slots=True)
class Case:
    """A machine and what is asked of it.

    images: file name to options of `qemu-img create`; the suffix is the format.
    tagged: image and tag of snapshots made by `qemu-img snapshot -c`.
    setup: done on another monitor before the client connects.
    native_only: what only HMP's reply to the last step has, before the rest: QEMU prints it to the monitor of the command,
    and a job has none.
    is_passed: the proxy leaves all of it to QEMU, because there is nothing for a job to do.
    is_pretty: QEMU's monitor writes its messages over many lines.
    """

    name: str
    args: str
    steps: Sequence[Step]
    images: Mapping[str, str] = field(default_factory=lambda: {"d0.qcow2": ""})
    tagged: Sequence[tuple[str, str]] = ()
    before: Boot | None = None
    setup: Sequence[Step | Until] = ()
    memory: str = "32"
    native_only: str = ""
    is_passed: bool = False
    is_pretty: bool = False


@dataclass(frozen=True, slots=True)
class Course:
    """What one twin let see: the messages up to each reply, then the snapshots on each image and QEMU's exit status.

    records: the proxy's audit; empty for the native twin.
    """

    said: list[list[str]]
    snapshots: dict[str, list[tuple[str, bool]]]
    exit_status: int
    records: list[dict[str, Any]]


def normal(message: bytes) -> str:
    """Return a raw message without what differs from run to run; all other bytes stay."""
    return normal_text(_TIMESTAMP.sub('"timestamp": <time>', message.decode("ascii")))


def normal_text(text: str) -> str:
    """Return what HMP printed without what differs from run to run."""
    text = normal_tag(_NODE_NAME.sub("#block<number>", text))
    return _TABLE_ROW.sub(lambda row: " 0 B <date, clock>" if row[1] == "0 B" else " <size, date, clock>", text)


def normal_tag(text: str) -> str:
    """Take the time out of the name that savevm makes of it."""
    return _TIMELY_TAG.sub("vm-<time>", text)


def make_images(folder: Path, images: Mapping[str, str], tagged: Sequence[tuple[str, str]] = ()) -> None:
    """Make the images; `{folder}` in their options is their folder. `vars` is as small as a flash device needs it."""
    for name, options in images.items():
        path = folder / name
        match path.suffix:
            case ".qcow2":
                make_qcow2(path, "64K" if path.stem == "vars" else "8M", options=options.format(folder=folder))
            case ".raw":
                make_raw(path, 1024 * KIB)
            case suffix:
                subprocess.run(["qemu-img", "create", "-q", "-f", suffix[1:], path, "8M"], check=True)
    for name, tag in tagged:
        subprocess.run(["qemu-img", "snapshot", "-c", tag, folder / name], check=True)


def wire(step: Step, id: object = NO_ID) -> bytes:
    """Spell a step; raw bytes are sent as they are."""
    match step:
        case bytes():
            return step
        case str():
            return command_bytes("human-monitor-command", {"command-line": step}, id)
        case name, arguments:
            return command_bytes(name, dict(arguments), id)


def run_setup(client: RawClient, setup: Sequence[Step | Until]) -> None:
    """Do each step, which must succeed: no QMP error, and no HMP text."""
    for step in setup:
        if isinstance(step, Until):
            if not any(json.loads(message).get("event") == step.event for message in client.transcript):
                client.read_until_event(step.event)
            continue
        client.send(wire(step))
        reply = json.loads(client.read_until_reply()[-1])
        if reply.get("return") not in ({}, ""):
            raise AssertionError(f"{step!r}: {reply}")


def _machine(args: str, *, paused: bool) -> list[str]:
    return ["-bios", "idle.rom", *(["-S"] if paused else []), *args.split()]


@contextmanager
def started(case: Case, *, paused: bool) -> Iterator[QEMUVM]:
    """Make the images, let the machine live its earlier life, start it and do the set-up."""
    vm = QEMUVM(_machine(case.args, paused=paused), observed=True, pretty=case.is_pretty, memory=case.memory)
    try:
        make_raw(vm.path("idle.rom"), len(IDLE_ROM), content=IDLE_ROM)
        make_images(vm.folder, case.images, case.tagged)
        if case.before is not None:
            _live(vm.folder, case.before)
        with vm:
            if case.setup:
                with vm.negotiated(observer=True) as observer:
                    run_setup(observer, case.setup)
            yield vm
    finally:
        vm.close()


def _live(folder: Path, boot: Boot) -> None:
    with QEMUVM(_machine(boot.args, paused=True), folder=folder, memory=boot.memory) as vm:
        with vm.negotiated() as client:
            run_setup(client, boot.steps)
        vm.quit()


def steps_of(case: Case) -> Iterator[bytes]:
    """Spell all that a client sends: after every step it asks for the state, and at the end for jobs."""
    steps: list[Step] = [("qmp_capabilities", {})]
    steps += [one for step in case.steps for one in (step, ("query-status", {}))]
    steps += [("query-jobs", {}), ("query-block-jobs", {})]
    return (wire(step, IDS[number % len(IDS)]) for number, step in enumerate(steps, start=len(case.name)))


def converse(client: RawClient, case: Case) -> list[list[str]]:
    """Send the steps one by one; give what came up to each reply. What comes behind one is seen before the next."""
    said = [[normal(client.receive_message())]]
    for raw in steps_of(case):
        client.send(raw)
        said.append([normal(message) for message in client.read_until_reply()])
    return said


def _finish(vm: QEMUVM, said: list[list[str]], records: list[dict[str, Any]]) -> Course:
    exit_status = vm.quit()
    images = {path.name: snapshots_of(path) for path in vm.folder.glob("*.qcow2")}
    snapshots = {name: [(normal_tag(tag), size > 0) for tag, size in found] for name, found in images.items()}
    return Course(said, snapshots, exit_status, records)


def live_natively(case: Case, *, paused: bool) -> Course:
    """Run the case on QEMU itself."""
    with started(case, paused=paused) as vm, vm.connect() as client:
        return _finish(vm, converse(client, case), [])


def live_proxied(case: Case, *, paused: bool) -> Course:
    """Run the case through the proxy; no job of its own is left."""
    with started(case, paused=paused) as vm:
        with ProxyProcess(vm.folder, vm.qmp_path, pretty=case.is_pretty) as proxy, proxy.connect() as client:
            said = converse(client, case)
        with vm.negotiated(observer=True) as observer:
            assert [job for job in observer.returned("query-jobs") if job["id"].startswith(JOB_PREFIX)] == []
        return _finish(vm, said, proxy.records)


def play(case: Case, *, paused: bool) -> tuple[Course, Course]:
    """Run the case on both twins; give the native course and the proxied one."""
    with ThreadPoolExecutor(2) as pool:
        native, proxied = (pool.submit(live, case, paused=paused) for live in (live_natively, live_proxied))
        return native.result(), proxied.result()

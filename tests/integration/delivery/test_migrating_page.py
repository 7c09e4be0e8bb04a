"""docs/migrating.md on the QEMU under test: what is sent after does what was sent before, in Python and in the shell.

Go's code is compared with theirs, by what it sends, and by gofmt where there is one.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from qemu.qmp import QMPError

from tests.integration.qemu_vm import IDLE_ROM, QEMUVM, make_qcow2, make_raw
from tests.support.audit.migrating_page import LANGUAGES, Example, examples, once, sent
from tests.support.raw_client import DEADLINE_S, RawClient, negotiated

pytestmark = pytest.mark.versions

EXAMPLES: Final = examples()
RETRY_S: Final = 0.01
MACHINE: Final = (
    *("-bios", "idle.rom"),
    *("-drive", "if=none,id=drive0,node-name=disk0,file=disk0.qcow2,format=qcow2", "-device", "virtio-blk-pci,drive=drive0"),
    *("-drive", "if=none,id=drive2,node-name=disk2,file=disk2.qcow2,format=qcow2", "-device", "virtio-blk-pci,drive=drive2"),
    *("-drive", "if=none,id=cd0,media=cdrom", "-device", "ide-cd,drive=cd0,id=ide0", "-device", "piix3-usb-uhci"),
    *("-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0", "-device", "virtio-balloon-pci", "-device", "VGA"),
)
# What a client is shown of one example.
Shown = dict[str, Any]
Run = Callable[[QEMUVM, RawClient], list[Shown]]


@contextmanager
def machine() -> Iterator[tuple[QEMUVM, RawClient]]:
    # A socket's path is short, so not pytest's folder.
    with tempfile.TemporaryDirectory(prefix="m", dir="/tmp") as name:
        folder = Path(name)
        for disk in ("disk0.qcow2", "disk1.qcow2", "base.qcow2"):
            make_qcow2(folder / disk, "8M")
        backing = ["-b", "base.qcow2", "-F", "qcow2", "disk2.qcow2"]
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing], cwd=folder, check=True)
        make_raw(folder / "cd.iso", 1 << 20)
        # A guest that changes its memory would make the migration long.
        (folder / "idle.rom").write_bytes(IDLE_ROM)
        with QEMUVM(MACHINE, folder=folder, observed=True) as vm:
            assert vm.observer_path is not None
            with negotiated(RawClient.connect(vm.observer_path)) as observer:
                yield vm, observer


def look(vm: QEMUVM, observer: RawClient, example: Example) -> Shown:
    """Return what can be seen of what the example did."""
    if example.heading == "quit":
        assert vm.process is not None
        return {"ended": vm.process.wait(DEADLINE_S)}
    if example.heading == "migrate":
        _await_migrated(observer)
    nodes = observer.returned("query-named-block-nodes", {"flat": True})
    (cd,) = (row for row in observer.returned("query-block") if row.get("qdev", "").endswith("ide0"))
    parameters, capabilities = observer.returned("query-migrate-parameters"), observer.returned("query-migrate-capabilities")
    return {
        "tags": sorted({one["name"] for node in nodes for one in node["image"].get("snapshots", ())}),
        # After `commit` HMP goes on with disk2, and QMP with what is behind it.
        "added": any("disk1" in node["file"] for node in nodes),
        "size": max(node["image"]["virtual-size"] for node in nodes if node.get("node-name") == "disk0"),
        "cd": cd.get("inserted", {}).get("file"),
        "devices": {row["name"] for row in observer.returned("qom-list", {"path": "/machine/peripheral"})},
        "bandwidth": parameters["max-bandwidth"],
        "events": [row["state"] for row in capabilities if row["capability"] == "events"],
        "state": observer.returned("query-status")["status"],
        "written": sorted(path.name for path in vm.folder.iterdir() if path.name in ("screen.ppm", "vm.state")),
    }


def _await_migrated(observer: RawClient) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while observer.returned("query-status")["status"] != "postmigrate":
        assert time.monotonic() < deadline, observer.returned("query-migrate")
        time.sleep(RETRY_S)


def by_python(half: str) -> Run:
    def run(vm: QEMUVM, observer: RawClient) -> list[Shown]:
        return asyncio.run(_by_python(vm, observer, half))

    return run


async def _by_python(vm: QEMUVM, observer: RawClient, half: str) -> list[Shown]:
    names: dict[str, Any] = {}
    exec(once()["python"], names)
    shown, answered = [], names["hmp"]

    async def hmp(line: str) -> str:
        text: str = await answered(line)
        assert "Error" not in text, text
        return text

    names["hmp"] = hmp
    await names["connect"](vm.qmp_path)
    # QEMU may end before it has answered `quit`, which is as good.
    with contextlib.suppress(QMPError, EOFError, OSError):
        try:
            for example in EXAMPLES:
                body = "".join(f"    {line}\n" for line in getattr(example, half)["python"].splitlines())
                exec(f"async def example():\n{body}", names)
                with contextlib.suppress(*([QMPError, EOFError, OSError] if example.heading == "quit" else [])):
                    await names["example"]()
                shown.append(await asyncio.to_thread(look, vm, observer, example))
        finally:
            await names["qmp"].disconnect()
    return shown


def by_shell(half: str) -> Run:
    def run(vm: QEMUVM, observer: RawClient) -> list[Shown]:
        environment = os.environ | {"QMP_SOCKET": vm.qmp_path}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        shown = []
        with subprocess.Popen(["bash", "-e"], env=environment, **pipes) as shell:
            _tell(shell, once()["bash"])
            for example in EXAMPLES:
                # With an end of file in place of a reply `qmp` fails.
                end = " || true" if example.heading == "quit" else ""
                replies = _tell(shell, getattr(example, half)["bash"].rstrip() + end)
                assert "Error" not in replies, replies
                shown.append(look(vm, observer, example))
            shell.stdin.close()  # type: ignore[union-attr]
        return shown

    return run


def _tell(shell: "subprocess.Popen[str]", code: str) -> str:
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(f"{code}\necho it is done\n")
    shell.stdin.flush()
    replies = ""
    while (line := shell.stdout.readline()) != "it is done\n":
        assert line, replies
        replies += line
    return replies


@pytest.fixture(scope="module")
def expected() -> list[Shown]:
    with machine() as (vm, observer):
        return by_python("before")(vm, observer)


def test_before_is_seen_to_do_something(expected: list[Shown]) -> None:
    shown = {example.heading: one for example, one in zip(EXAMPLES, expected, strict=True)}
    assert (shown["savevm"]["tags"], shown["delvm"]["tags"]) == (["t1"], [])
    assert ("tablet0" in shown["device_add"]["devices"], "tablet0" in shown["device_del"]["devices"]) == (True, False)
    assert (shown["drive_add"]["added"], shown["drive_del"]["added"]) == (True, False)
    assert (shown["change"]["cd"], shown["eject"]["cd"]) == ("cd.iso", None)
    assert shown["block_resize"]["size"] == 16 << 20
    assert (shown["migrate"]["state"], shown["migrate"]["written"]) == ("postmigrate", ["screen.ppm", "vm.state"])
    assert shown["quit"] == {"ended": 0}


@pytest.mark.parametrize("run", [by_python("after"), by_shell("before"), by_shell("after")], ids=["python", "hmp", "bash"])
def test_after_does_what_before_did(run: Run, expected: list[Shown]) -> None:
    with machine() as (vm, observer):
        shown = run(vm, observer)
    for example, found, wanted in zip(EXAMPLES, shown, expected, strict=True):
        assert found == wanted, example.heading


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.heading)
def test_all_languages_send_the_same(example: Example) -> None:
    for half in (example.before, example.after):
        assert tuple(half) == LANGUAGES
        python, go, shell = (sent(language, half[language]) for language in LANGUAGES)
        assert python == go == shell
    assert {name for name, _, _ in sent("python", example.before["python"])} == {"hmp"}


def test_every_common_command_is_there() -> None:
    lines = [line for example in EXAMPLES for _, line, _ in sent("python", example.before["python"])]
    names = {" ".join(line.split()[: 2 if line.startswith("info ") else 1]) for line in lines}
    assert names >= {
        *("savevm", "loadvm", "delvm", "info snapshots", "info status", "info block", "stop", "cont", "system_reset"),
        *(
            "system_powerdown",
            "device_add",
            "device_del",
            "drive_add",
            "drive_del",
            "migrate",
            "sendkey",
            "screendump",
            "eject",
        ),
        *("change", "commit", "balloon", "quit"),
    }


def test_go_is_what_gofmt_takes(tmp_path: Path) -> None:
    """Where there is no gofmt, what is sent is compared all the same: test_all_languages_send_the_same."""
    halves = [half["go"] for example in EXAMPLES for half in (example.before, example.after)]
    calls = "".join(f"\t{line}\n" for half in halves for line in half.splitlines())
    program = once()["go"] + f'\nfunc main() {{\n\tconnect("qmp.sock")\n{calls}}}\n'
    assert program.count("{") == program.count("}")
    if (gofmt := shutil.which("gofmt")) is not None:
        path = tmp_path / "main.go"
        path.write_text(program)
        assert subprocess.run([gofmt, "-d", str(path)], capture_output=True, text=True, check=True).stdout == ""

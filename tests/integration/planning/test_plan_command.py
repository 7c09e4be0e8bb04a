"""`hmp-proxy plan` on a real QEMU: it changes nothing, and foretells what the proxy then does."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM
from tests.integration.twins import make_images
from tests.integration.uefi_machine import DATA_DISK, DISK, FLASH, IMAGES, QCOW2_VARS, RAW_VARS, SECOND_DISK, machine
from tests.support.proxy_command import run_proxy
from tests.support.raw_client import RawClient

pytestmark = pytest.mark.matrix

SURVEY: Final = frozenset(
    {"query-status", "query-block", "query-named-block-nodes", "x-debug-query-block-graph", "query-migrate", "query-cpus-fast"}
    | {"query-migrate-capabilities", "query-replay"}
)
# What stands before the tag where a state is saved first under another one.
INTERNAL: Final = re.compile(r"hmpshim-(?:[0-9a-f]+-)*\d+-")
UEFI: Final = (FLASH, RAW_VARS, DISK)
TWO_DISKS: Final = (DISK, SECOND_DISK)


def plan(upstream: str, *arguments: str) -> str:
    """Return what it says; it must end well, and say nothing on standard error."""
    ended = run_proxy("plan", "--upstream", f"unix:{upstream}", *arguments)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def plan_as_json(upstream: str, *arguments: str) -> Any:
    return json.loads(plan(upstream, "--json", *arguments))


def without_job_ids(commands: Sequence[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Return the commands behind the survey, and their arguments less what every run makes anew."""
    started = next((number for number, command in enumerate(commands) if command["execute"].startswith("snapshot-")), None)
    if started is None:
        assert {command["execute"] for command in commands} <= SURVEY | {"query-jobs"}
        return []
    return [
        (
            command["execute"],
            {
                key: INTERNAL.sub("internal-", value) if key == "tag" else value
                for key, value in command["arguments"].items()
                if key not in ("job-id", "id")
            },
        )
        for command in commands[started:]
    ]


def facts(plan_or_record: dict[str, Any]) -> list[tuple[str, bool, str]]:
    """Return what was decided about each node that HMP looks at."""
    rows = [(node["node"], node["included"], node["reason"]) for node in plan_or_record["nodes"]]
    return [row for row in rows if not row[2].startswith("part of another node")]


# The command, and what native HMP or QMP commands prepare for it: the tag is on none, all or some of the disks.
ON_ALL: Final = ("savevm t",)
ON_SOME: Final = ("savevm t", "snapshot_delete_blkdev_internal d1 t")
TWICE: Final = ("snapshot_blkdev_internal d0 t", "savevm u", "snapshot_blkdev_internal d0 u")
COMMANDS: Final = ("savevm t", "loadvm t", "delvm t", "info snapshots", "loadvm none", "delvm none")


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("prepared", [(), ON_ALL, ON_SOME], ids=["on none", "on all", "on some"])
def test_plan_on_two_disks_comes_true(prepared: Sequence[str], line: str) -> None:
    with machine(*TWO_DISKS) as vm:
        with vm.negotiated() as native:
            for before in prepared:
                assert native.hmp(before) == ""
        assert_comes_true(vm, line)


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("is_saved", [False, True], ids=["on none", "on all"])
def test_plan_on_a_uefi_machine_comes_true(is_saved: bool, line: str) -> None:
    with machine(*UEFI) as vm:
        assert_comes_true(vm, line, first=["savevm t"] if is_saved else [])


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("varstore", [QCOW2_VARS, RAW_VARS], ids=["qcow2", "raw"])
def test_plan_comes_true_with_options(varstore: str, line: str) -> None:
    options = ["--overwrite", "refuse", "--vmstate", "d1", "--exclude", "pflash1"]
    with machine(FLASH, varstore, *TWO_DISKS) as vm:
        assert_comes_true(vm, line, first=["savevm t"], options=options)


@pytest.mark.parametrize("line", ["savevm t", "delvm t", "loadvm t"])
def test_plan_comes_true_where_it_fails(line: str) -> None:
    with machine(DISK, DATA_DISK) as vm:
        assert_comes_true(vm, line)


def assert_comes_true(vm: QEMUVM, line: str, *, first: Sequence[str] = (), options: Sequence[str] = ()) -> None:
    """Plan through the running proxy, then do it through the same. first: done through it before that."""
    with ProxyProcess(vm.folder, vm.qmp_path, options) as proxy, proxy.negotiated() as client:
        for before in first:
            assert client.hmp(before) == ""
        planned = plan_as_json(proxy.path, *options, *line.split())
        text = client.hmp(line)
        record = proxy.records[-1]
        assert len(proxy.records) == len(first) + 1
    assert planned["command_line"] == record["command_line"] == line
    assert planned["outcome"]["kind"] == record["action"]
    assert planned["outcome"]["text"] == (None if record["action"] in ("passed", "delegated") else text)
    assert planned["outcome"]["reason"] == record["reason"]
    assert without_job_ids(planned["qmp"]) == without_job_ids(record["qmp"])
    assert (facts(planned), planned["vmstate"]) == (facts(record), record["vmstate"])


# -- it changes nothing ---------------------------------------------------------------------------------------------------


def state(observer: RawClient) -> list[Any]:
    """Return what a snapshot command could change."""
    queries = ("query-named-block-nodes", "query-jobs", "query-block", "query-status", "query-migrate", "query-block-jobs")
    return [observer.returned(query) for query in queries]


@pytest.mark.parametrize("is_proxied", [False, True], ids=["QEMU's socket", "the proxy's socket"])
def test_plan_changes_nothing(is_proxied: bool) -> None:
    # Stopped, because the guest's firmware changes cache settings when it runs.
    vm = QEMUVM([*DISK.split(), *SECOND_DISK.split(), "-S"], observed=True)
    try:
        make_images(vm.folder, IMAGES)
        with vm, vm.negotiated(observer=True) as observer:
            assert observer.hmp("savevm t") == ""
            before, seen = state(observer), len(observer.transcript)
            if is_proxied:
                with ProxyProcess(vm.folder, vm.qmp_path) as proxy, proxy.negotiated() as client:
                    plan_all(proxy.path)
                    assert client.transcript[2:] == []
                    assert client.returned("query-name") == {}
                    assert len(client.transcript) == 3
                    assert proxy.records == []
            else:
                plan_all(vm.qmp_path)
            after = state(observer)
            assert after == before
            assert [raw for raw in observer.transcript[seen:] if b'"event"' in raw] == []
    finally:
        vm.close()


def plan_all(path: str) -> None:
    for line in ("savevm t", "savevm", "savevm u", "loadvm t", "delvm t", "info snapshots", "stop", "savevm a b"):
        plan(path, *line.split())


def test_no_client_sees_that_somebody_plans() -> None:
    with machine(*UEFI) as vm, ProxyProcess(vm.folder, vm.qmp_path) as proxy, proxy.negotiated() as client:
        plan(proxy.path, "savevm", "t")
        assert client.hmp("info snapshots") == "There is no snapshot available.\r\n"
        assert client.returned("query-jobs") == []
        assert [raw for raw in client.transcript if b'"event"' in raw] == []


# -- how it is called -----------------------------------------------------------------------------------------------------


def test_text_on_a_uefi_machine() -> None:
    with machine(*UEFI) as vm:
        lines = plan(vm.qmp_path, "savevm", "t").splitlines()
    assert lines[0] == "plan of: savevm t"
    assert [line.split()[0] for line in lines if " pflash" in line or " d0 " in line][:3] == ["-", "-", "takes"]
    assert any("varstore of format raw, which cannot hold a snapshot" in line for line in lines)
    assert lines[-2:] == ['The client would get "" (success).', "Nothing was changed; only queries were sent."]


def test_vm_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "hmpshim.toml"
    with machine(*TWO_DISKS) as vm:
        tables = [
            f"[[vm]]\nname = '{name}'\nupstream = 'unix:{vm.folder}/{name}'\nlisten = 'unix:/{name}'\n"
            for name in ("qmp.sock", "b")
        ]
        path.write_text("".join(tables) + "exclude = 'd0'\n[defaults]\nvmstate = 'd1'\n")
        ended = run_proxy("plan", "--config", str(path), "--vm", "qmp.sock", "--json", "savevm", "t")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert json.loads(ended.stdout)["vmstate"]["reason"].startswith("named by the configuration; QEMU itself")
        elsewhere = ("--upstream", f"unix:{vm.qmp_path}")
        ended = run_proxy("plan", "--config", str(path), "--vm", "b", *elsewhere, "--json", "savevm", "t")
        (save, *_) = json.loads(ended.stdout)["qmp"]
        assert len(save["arguments"]["devices"]) == 1
        ended = run_proxy("plan", "--config", str(path), "savevm", "t")
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr == ("hmp-proxy plan: say which VM: --vm with one of qmp.sock, b (see hmp-proxy plan --help)\n")


def test_nobody_there(tmp_path: Path) -> None:
    ended = run_proxy("plan", "--upstream", f"unix:{tmp_path}/none", "savevm", "t")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith(f"hmp-proxy: cannot connect to QEMU at unix:{tmp_path}/none: No such file or directory")
    assert ended.stderr.count("\n") == 1


def test_socket_that_another_client_has() -> None:
    """QEMU serves one client a socket. The proxy's own serves many."""
    with machine(*UEFI) as vm, vm.negotiated():
        ended = run_proxy("plan", "--upstream", f"unix:{vm.qmp_path}", "savevm", "t")
        assert (ended.returncode, ended.stdout) == (4, "")
        assert "QEMU serves one client per socket, and another one is connected" in ended.stderr

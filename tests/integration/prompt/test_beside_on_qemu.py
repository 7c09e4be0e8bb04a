"""`hmp-proxy plan` and `hmp-repl` at a proxy's own socket, on a real QEMU: what they foretell and do is what the proxy does."""

import json
import time
from pathlib import Path
from typing import Any, Final

import pytest

from shim.decisions.beside import VERSION
from shim.decisions.own_commands import PLAN, QUERY_PROXY
from shim.graph.policy import Policy
from tests.integration.command_lines import FLASH_CODE, disk
from tests.integration.machines import Machine, machine
from tests.integration.prompt.sitting import sit
from tests.integration.proxy_process import ProxyProcess
from tests.integration.scripts.repl_process import Ended, repl, start_repl
from tests.support.proxy_command import run_proxy
from tests.support.raw_client import RawClient
from tests.support.repl.screen import Person

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

ARGS: Final = f"{FLASH_CODE} -drive if=pflash,unit=1,format=raw,file=vars.raw {disk('d0')} {disk('d1')}"
IMAGES: Final = {"vars.raw": "", "d0.qcow2": "", "d1.qcow2": ""}
# Nothing of it is the default: the VM state on the second disk, and no overwriting.
OWN: Final = ("--vmstate", "d1", "--overwrite", "refuse", "--name", "vm1")
WORDS: Final = "auto, vmstate d1, overwrite refuse"
WHOSE: Final = f"in force at hmp-proxy {VERSION} of VM vm1"


def asked(client: RawClient, command: str, arguments: dict[str, Any] | None = None, own_id: Any = 1) -> Any:
    message: dict[str, Any] = {"execute": command, "id": own_id}
    if arguments is not None:
        message["arguments"] = arguments
    client.send(json.dumps(message).encode() + b"\n")
    return json.loads(client.read_until_reply()[-1])


def holders(vm: Machine, tag: str) -> list[str]:
    """Name the images that hold a VM state of this tag."""
    nodes = vm.observer.returned("query-named-block-nodes")
    return sorted(
        {
            node["file"]
            for node in nodes
            for row in node["image"].get("snapshots", ())
            if row["name"] == tag and row["vm-state-size"] and node["drv"] == "qcow2"
        }
    )


@pytest.mark.parametrize("oob", [False, True], ids=["", "oob"])
def test_qemu_knows_neither_command_and_the_proxy_lists_none(oob: bool) -> None:
    with machine(ARGS, IMAGES) as vm:
        with vm.native() as client:
            for name in (QUERY_PROXY, PLAN, "__hmpshim_x"):
                own = asked(client, name)
                assert own == {"id": 1, "error": {"class": "CommandNotFound", "desc": f"The command {name} has not been found"}}
        with ProxyProcess(vm.vm.folder, vm.vm.qmp_path, OWN) as proxy, proxy.connect() as client:
            client.negotiate(oob=oob)
            assert not [row for row in client.returned("query-commands") if row["name"].startswith("__")]
            assert "__hmpshim" not in json.dumps(client.returned("query-qmp-schema"))
            own = asked(client, "__hmpshim_x")
            assert own["error"] == {"class": "CommandNotFound", "desc": "The command __hmpshim_x has not been found"}
            told = asked(client, QUERY_PROXY, own_id={"a": [1]})
            assert (told["id"], told["return"]["policy-words"], told["return"]["behind"]) == ({"a": [1]}, WORDS, None)
            # The same word for word as QEMU's own about its own command.
            assert asked(client, PLAN, {})["error"] == asked(client, "human-monitor-command", {})["error"]
            wrong = {"command-line": 5}
            assert asked(client, PLAN, wrong)["error"] == asked(client, "human-monitor-command", wrong)["error"]
            more = {"command-line": "savevm t", "x": 1}
            assert asked(client, PLAN, more)["error"] == asked(client, "human-monitor-command", more)["error"]
            assert asked(client, PLAN, {"command-line": "savevm t"})["return"]["text"].startswith("plan of: savevm t\n")


def test_plan_at_a_proxy_foretells_what_the_proxy_does() -> None:
    with machine(ARGS, IMAGES) as vm, vm.proxied(*OWN) as (client, proxy):
        ended = run_proxy("plan", "--upstream", f"unix:{proxy.path}", "savevm", "t")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert f"\npolicy: {WORDS} ({WHOSE})\n" in ended.stdout
        assert "(-loadvm, or a revert by libvirt before 10.10) could not load it: 'pflash1' is writable" in ended.stdout
        assert client.hmp("savevm t") == ""
        assert holders(vm, "t") == ["d1.qcow2"]
        ended = run_proxy("plan", "--upstream", f"unix:{proxy.path}", "--json", "savevm", "t")
        outcome = json.loads(ended.stdout)["outcome"]
        assert (outcome["kind"], outcome["text"]) == ("refused", client.hmp("savevm t"))
        ended = run_proxy("plan", "--upstream", f"unix:{proxy.path}", "--policy", "hmp", "savevm", "u")
        assert f"policy: hmp (given by --policy, not the one {WHOSE}, which is: {WORDS})" in ended.stdout
        assert "Error: Device 'pflash1' is writable but does not support snapshots" in ended.stdout
        assert [record["command_line"] for record in proxy.records] == ["savevm t"] * 2
        assert proxy.stderr.count("could not load it: 'pflash1' is writable and cannot hold a snapshot") == 1


def test_prompt_at_a_proxy_does_what_the_proxy_would() -> None:
    with machine(ARGS, IMAGES) as vm, vm.proxied(*OWN) as (_, proxy):
        ended = repl(proxy.path, "-c", "plan savevm t", "-c", "savevm t")
        assert (ended.status, ended.err) == (0, "")
        assert f"\npolicy: {WORDS} ({WHOSE})\n" in ended.text
        assert holders(vm, "t") == ["d1.qcow2"]
        # The VM runs on: the load is known to fail.
        ended = repl(proxy.path, "-c", "loadvm none")
        assert (ended.status, ended.text) == (1, "Error: Snapshot 'none' does not exist in one or more devices\n")
        assert vm.run_state == "running"
        ended = repl(proxy.path, "--keep-going", "-c", "savevm t", "-c", "help", "-c", "info status", "-c", "delvm t")
        assert "may not be replaced" in ended.text
        done = [(record["command_line"], record["action"], record["after_failure"]) for record in proxy.records]
        assert done == [
            ("savevm t", "rewritten", None),
            ("savevm t", "refused", None),
            ("help", "passed", None),
            ("info status", "passed", None),
            ("delvm t", "rewritten", None),
        ]


def test_own_policy_of_the_prompt_at_a_proxy_is_wrong_use() -> None:
    with machine(ARGS, IMAGES) as vm, vm.proxied(*OWN) as (_, proxy):
        ended = repl(proxy.path, "--exclude", "d0", "--policy", "auto", "-c", "savevm t")
        told = f"hmp-proxy {VERSION} of VM vm1 is there, and its policy holds ({WORDS}); drop --exclude, --policy"
        assert (ended.status, ended.text) == (2, "")
        assert ended.err == f"hmp-repl: at unix:{proxy.path}: {told}\n"
        assert holders(vm, "t") == []


def test_two_proxies_in_a_row() -> None:
    with machine(ARGS, IMAGES) as vm, ProxyProcess(vm.vm.folder, vm.vm.qmp_path, ("--mode", "enforce")) as inner:
        folder = vm.vm.folder / "outer"
        folder.mkdir()
        with ProxyProcess(folder, inner.path, OWN) as outer, outer.negotiated() as client:
            told = asked(client, QUERY_PROXY)["return"]
            assert (told["policy-words"], told["behind"]["mode"]) == (WORDS, "enforce")
            assert client.hmp("savevm t") == ""
            assert holders(vm, "t") == ["d1.qcow2"]
            plan = asked(client, PLAN, {"command-line": "info block"})["return"]["plan"]
            assert (plan["outcome"]["kind"], plan["behind"]["outcome"]["kind"]) == ("passed", "refused")
            assert plan["behind"]["outcome"]["text"] == client.hmp("info block")
            ended = repl(outer.path, "-c", "loadvm t", "-c", "help", "-c", "cont")
            assert "is not allowed here" in ended.text
            assert [record["command_line"] for record in outer.records] == [
                *("savevm t", "info block", "loadvm t", "help"),
            ]
            assert [record["client"]["prompt"] for record in outer.records] == [False, False, True, True]
        assert [record["command_line"] or record["execute"] for record in inner.records] == [
            *("snapshot-save", "info block", "snapshot-load", "help"),
        ]
        # All clients of the outer one are one client of the inner one.
        assert not any(record["client"]["prompt"] for record in inner.records)


# --- At a terminal ---


def test_person_at_a_proxy_is_told_whose_policy_it_is() -> None:
    with machine(ARGS, IMAGES) as vm, vm.proxied("--vmstate", "d1", "--name", "vm1") as (_, proxy):

        async def scene(person: Person) -> None:
            told = f"hmp-proxy {VERSION} of VM vm1 does the snapshot commands here, by its own policy: auto, vmstate d1"
            await person.sees(told)
            await person.sees("policy auto vmstate d1 of the proxy")
            await person.runs("savevm t")
            assert holders(vm, "t") == ["d1.qcow2"]
            person.type("savevm t\r")
            await person.sees("Replace it?")
            told = " ".join(person.screen.text.split())
            assert f"policy: auto, vmstate d1 (in force at hmp-proxy {VERSION} of VM vm1)" in told
            assert "the new one is saved first under an internal tag" in told
            person.type("n")
            await person.sees("not done")

        sit(vm, scene, columns=140, rows=40, path=proxy.path)
        told = [(record["command_line"], record["housekeeping"]) for record in proxy.records]
        assert told == [("help", True), ("help info", True), ("savevm t", False)]


def test_file_with_another_policy_than_the_proxys_is_told() -> None:
    with machine(ARGS, IMAGES) as vm, vm.proxied("--name", "vm1") as (_, proxy):

        async def scene(person: Person) -> None:
            await person.sees(f"hmp-proxy {VERSION} of VM vm1 has another policy than the file; its own holds until it reads")

        sit(vm, scene, columns=140, path=proxy.path, file_policy=Policy(guard=False))


# --- A prompt that is killed ---


@pytest.mark.parametrize("run", range(5))
def test_savevm_of_a_prompt_that_was_killed_is_completed_or_told_by_the_next(
    run: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    with machine(ARGS, IMAGES) as vm:
        assert repl(vm.vm.qmp_path, "-c", "savevm t") == Ended(0, b"", "")
        with start_repl(vm.vm.qmp_path, "-c", "savevm t") as process:
            while process.poll() is None and not any(b"marker" in file.read_bytes() for file in tmp_path.glob("*.json")):
                time.sleep(0.0005 * run)
            process.kill()
        ended = repl(vm.vm.qmp_path, "-c", "info version")
        assert ended.status == 0
        assert ended.err == "" or ended.err.startswith("hmp-repl: savevm 't', which was to replace a snapshot, was cut off")
        assert (vm.tags("d0.qcow2"), vm.tags("d1.qcow2")) == (["t"], ["t"])
        assert vm.observer.returned("query-jobs") == []


def test_monitor_in_pretty_mode() -> None:
    with (
        machine(ARGS, IMAGES, pretty=True) as vm,
        ProxyProcess(vm.vm.folder, vm.vm.qmp_path, OWN, pretty=True) as proxy,
        proxy.negotiated() as client,
    ):
        assert asked(client, QUERY_PROXY)["return"]["policy-words"] == WORDS

"""`hmp-repl` in scripts, as a process of its own, on a real QEMU: HMP's texts, exit statuses, and how it ends."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from pwd import getpwuid
from typing import Any, Final

import pytest

from tests.integration.command_lines import BIOS, disk
from tests.integration.machines import Machine, machine
from tests.integration.proxy_process import ProxyProcess
from tests.integration.scripts.repl_process import Ended, repl, start_repl
from tests.support.raw_client import DEADLINE_S

pytestmark = pytest.mark.needs_snapshot_jobs

TWO: Final = {"d0.qcow2": "", "d1.qcow2": ""}
DISKS: Final = f"{BIOS} {disk('d0')} {disk('d1')} -name vm1"
MISSING: Final = "Error: Snapshot 'none' does not exist in one or more devices\n"
STATUS: Final = "VM status: running\n"


@pytest.fixture(scope="module")
def shared() -> Iterator[Machine]:
    """A VM for all tests that leave nothing behind: it has `kept` on both disks, and `part` on one."""
    with machine(DISKS, TWO) as vm:
        assert vm.observer.hmp("savevm kept") == ""
        vm.observer.returned("blockdev-snapshot-internal-sync", {"device": "d1", "name": "part"})
        yield vm


@pytest.fixture
def own() -> Iterator[Machine]:
    """A VM of the test's own."""
    with machine(DISKS, TWO) as vm:
        yield vm


def run(vm: Machine, *arguments: str | bytes, **options: Any) -> Ended:
    return repl(vm.vm.qmp_path, *arguments, **options)


def objects(ended: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.text.splitlines()]


def snapshots(vm: Machine) -> list[list[str]]:
    return [vm.tags("d0.qcow2"), vm.tags("d1.qcow2")]


# --- Texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        *("info snapshots", "info status", "info block", "info version", "help savevm", "print 1+1", "  info   status  "),
        *(
            "nosuch",
            "info nosuch",
            'savevm "a',
            "savevm a b",
            "loadvm",
            "delvm a b",
            "loadvm none",
            "delvm none",
            "info snapshots x",
        ),
    ],
)
def test_text_is_hmps(shared: Machine, line: str) -> None:
    """Byte for byte with --raw; else with LF for CRLF."""
    native = shared.observer.hmp(line)
    shared.observer.returned("cont")
    assert run(shared, "--raw", "-c", line).out == native.encode()
    shared.observer.returned("cont")
    ended = run(shared, "-c", line)
    shared.observer.returned("cont")
    assert (ended.text, ended.err) == (native.replace("\r\n", "\n"), "")


@pytest.mark.parametrize(
    ("lines", "text", "status", "left"),
    [
        (["savevm t"], "", 0, [["t"], ["t"]]),
        (["savevm t", "savevm t", "savevm u", "loadvm t", "delvm t"], "", 0, [["u"], ["u"]]),
        (["loadvm none"], MISSING, 1, [[], []]),
        (["delvm none"], "", 0, [[], []]),
        (['savevm "a b"', 'loadvm "a b"'], "", 0, [["a b"], ["a b"]]),
        (["info status", "savevm é", "info status"], STATUS * 2, 0, [["é"], ["é"]]),
    ],
)
def test_snapshots_are_made_loaded_and_deleted(
    own: Machine, lines: list[str], text: str, status: int, left: list[list[str]]
) -> None:
    words = [word for line in lines for word in ("-c", line)]
    assert run(own, *words, LC_ALL="C") == Ended(status, text.encode(), "")
    assert snapshots(own) == left
    assert own.observer.returned("query-jobs") == []


# --- Which commands are run -------------------------------------------------------------------------------------------

SOME: Final = ["info status", "loadvm none", "info status"]


@pytest.mark.parametrize(
    ("options", "text", "status"),
    [([], STATUS + MISSING, 1), (["--keep-going"], STATUS + MISSING + STATUS, 1)],
    ids=["stop", "keep going"],
)
@pytest.mark.parametrize("way", ["-c", "stdin"])
def test_first_failure_ends_it_unless_it_is_to_keep_going(
    own: Machine, way: str, options: list[str], text: str, status: int
) -> None:
    words = [word for line in SOME for word in ("-c", line)] if way == "-c" else []
    stdin = b"" if way == "-c" else "\n".join(SOME).encode()
    assert run(own, *options, *words, stdin=stdin) == Ended(status, text.encode(), "")


@pytest.mark.parametrize(
    ("stdin", "times"),
    [
        (b"", 0),
        (b"info status", 1),
        (b"info status\ninfo status\n", 2),
        (b"\n  \ninfo status\n\n\ninfo status", 2),
        (b"info status\n exit \ninfo status\n", 1),
        (b"info status\n" * 200, 200),
    ],
    ids=["nothing", "no newline", "lines", "blank lines", "exit", "many"],
)
def test_lines_of_standard_input_are_run(shared: Machine, tmp_path: Path, stdin: bytes, times: int) -> None:
    assert run(shared, stdin=stdin) == Ended(0, STATUS.encode() * times, "")
    (tmp_path / "lines").write_bytes(stdin)
    with (tmp_path / "lines").open("rb") as file:
        assert run(shared, stdin=file) == Ended(0, STATUS.encode() * times, "")


def test_no_input_is_no_command(shared: Machine) -> None:
    assert run(shared, stdin=subprocess.DEVNULL) == Ended(0, b"", "")


def test_line_is_run_as_soon_as_it_is_there(shared: Machine) -> None:
    with start_repl(shared.vm.qmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            process.stdin.write(b"info status\n")
            process.stdin.flush()
            assert process.stdout.readline() == STATUS.encode()
        process.stdin.close()
        assert process.wait(DEADLINE_S) == 0


def test_commands_leave_standard_input_alone(shared: Machine) -> None:
    assert run(shared, "-c", "info status", stdin=b"quit\n") == Ended(0, STATUS.encode(), "")


# --- JSON, QMP and plans ----------------------------------------------------------------------------------------------


def test_json_is_one_object_a_command(own: Machine) -> None:
    lines = ["savevm t", "info status", "loadvm none", "qmp query-name", "qmp nosuch", "qmp", "plan delvm t", "events"]
    ended = run(own, "--json", "--keep-going", *(word for line in lines for word in ("-c", line)))
    found = objects(ended)
    assert [member["command"] for member in found] == lines
    assert [member["ok"] for member in found] == [True, True, False, True, False, False, True, False]
    assert ended.status == 1
    saved, told, missing, name, nosuch, half, plan, events = found
    assert list(saved) == ["command", "ok", "text", "duration_ms", "stopped_ms"]
    assert saved["text"] == ""
    assert saved["duration_ms"] >= saved["stopped_ms"] > 0
    assert (told["text"], told["stopped_ms"]) == ("VM status: running\r\n", 0)
    assert missing["text"] == MISSING.replace("\n", "\r\n")
    assert name == {"command": "qmp query-name", "ok": True, "return": {"name": "vm1"}}
    assert nosuch["error"] == {"class": "CommandNotFound", "desc": "The command nosuch has not been found"}
    assert (half["error"], half["position"]) == ("qmp needs the name of a command", 3)
    assert plan["plan"]["command_line"] == "delvm t"
    assert events["error"] == "this works at the prompt only, not in a script"


@pytest.mark.parametrize("line", ["qmp query-jobs", "qmp query-jobs {}", "  qmp   query-jobs  "])
def test_qmp_prints_what_it_returns(shared: Machine, line: str) -> None:
    assert run(shared, "-c", line) == Ended(0, b"[]\n", "")


@pytest.mark.parametrize(
    "arguments",
    ['{"path": "/machine", "property": "type"}', "path=/machine property=type", 'path="/machine" property=type'],
)
def test_qmp_takes_json_and_words(shared: Machine, arguments: str) -> None:
    value = shared.observer.returned("qom-get", {"path": "/machine", "property": "type"})
    assert run(shared, "-c", f"qmp qom-get {arguments}") == Ended(0, f"{json.dumps(value)}\n".encode(), "")


def test_qmp_error_is_a_failure(shared: Machine) -> None:
    ended = run(shared, "-c", "qmp qom-get path=/none property=type")
    assert (ended.status, ended.err) == (1, "")
    assert ended.text.startswith("DeviceNotFound: ")


@pytest.mark.parametrize(
    ("line", "pointed"),
    [
        ("qmp", "hmp-repl: qmp\nhmp-repl:    ^ qmp needs the name of a command\n"),
        ("qmp x {", "hmp-repl: qmp x {\nhmp-repl:        ^ not JSON: "),
        (
            "plan info status",
            "hmp-repl: plan info status\nhmp-repl:      ^ plan only knows savevm, loadvm, delvm and info snapshots\n",
        ),
    ],
)
def test_fault_in_an_own_command_is_pointed_at(shared: Machine, line: str, pointed: str) -> None:
    ended = run(shared, "-c", line, "-c", "info status")
    assert (ended.status, ended.out) == (1, b"")
    assert ended.err.startswith(pointed)


@pytest.mark.parametrize("line", ["events on", "reconnect", "connect vm2"])
def test_what_is_for_the_prompt_is_no_command_here(shared: Machine, line: str) -> None:
    assert run(shared, "-c", line) == Ended(1, b"", f"hmp-repl: {line}: this works at the prompt only, not in a script\n")


@pytest.mark.parametrize("way", ["-c", "stdin"])
def test_bytes_that_are_no_text_are_told_and_not_sent(shared: Machine, way: str) -> None:
    ended = run(shared, "-c", b"savevm \xff") if way == "-c" else run(shared, stdin=b"savevm \xff\n")
    assert (ended.status, ended.out) == (1, b"")
    assert ended.err.endswith("^ QEMU does not take the character U+DCFF\n")
    assert "\xff" not in "".join(map(str, snapshots(shared)))


def test_plan_changes_nothing(shared: Machine) -> None:
    before = snapshots(shared)
    ended = run(shared, "-c", "plan delvm kept")
    assert (ended.status, ended.err) == (0, "")
    assert "snapshot-delete" in ended.text
    assert snapshots(shared) == before


def test_policy_options_are_obeyed(own: Machine) -> None:
    assert run(own, "--exclude", "d1", "-c", "savevm t") == Ended(0, b"", "")
    assert snapshots(own) == [["t"], []]


# --- The audit log ----------------------------------------------------------------------------------------------------


def test_person_is_on_record(own: Machine, tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    with start_repl(own.vm.qmp_path, "--audit", str(audit), "-c", "savevm t", "-c", "info status") as process:
        assert process.wait(DEADLINE_S) == 0
    assert run(own, "--audit", str(audit), "--name", "mine", "-c", "delvm t").status == 0
    saved, told, deleted = [json.loads(line) for line in audit.read_text().splitlines()]
    client = saved["client"]
    assert (client["pid"], client["uid"], client["exe"]) == (process.pid, os.getuid(), os.path.realpath("/proc/self/exe"))
    assert (client["tool"], client["prompt"], client["argv"][-4:]) == (
        "hmp-repl",
        True,
        ["-c", "savevm t", "-c", "info status"],
    )
    assert (client["user"], client["address"], client["connected_as"]) == (getpwuid(os.getuid()).pw_name, None, None)
    assert (saved["vm"], saved["action"], saved["reply"]) == ("vm1", "rewritten", {"return": ""})
    assert [node["device"] for node in saved["nodes"] if node["included"]] == ["d0", "d1"]
    assert (told["command_line"], told["action"]) == ("info status", "passed")
    assert (deleted["vm"], deleted["command_line"]) == ("mine", "delvm t")


def test_full_disk_is_complained_of_and_the_command_goes_on(own: Machine) -> None:
    complaint = "hmp-repl: cannot write the audit log /dev/full: No space left on device; the command went on\n"
    assert run(own, "--audit", "/dev/full", "-c", "savevm t") == Ended(0, b"", complaint)
    assert snapshots(own) == [["t"], ["t"]]


# --- Wrong use, and nobody there --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["/none", "--nonsense"], 2, "hmp-repl: unrecognized arguments: --nonsense (see hmp-repl --help)\n"),
        (["--config", "/none/c"], 2, "hmp-repl: /none/c: No such file or directory\n"),
        (["/none", "--audit", "/none/a"], 2, "hmp-repl: cannot write the audit log /none/a: No such file or directory\n"),
        (
            ["/none/q", "-c", "info status"],
            3,
            "hmp-repl: cannot connect to QEMU at unix:/none/q: No such file or directory "
            "(is the VM running, with this QMP socket?)\n",
        ),
    ],
    ids=["option", "file", "audit", "no socket"],
)
def test_mistake_is_told_in_one_line(arguments: list[str], status: int, said: str) -> None:
    assert repl(*arguments) == Ended(status, b"", said)


def test_config_file_names_the_vm(own: Machine, tmp_path: Path) -> None:
    audit, file = tmp_path / "audit", tmp_path / "c.toml"
    file.write_text(f'[[vm]]\nname="a"\ntake_over="{own.vm.qmp_path}"\nexclude="d1"\naudit="{audit}"\n')
    assert repl("--config", str(file), "-c", "savevm t") == Ended(0, b"", "")
    assert snapshots(own) == [["t"], []]
    assert json.loads(audit.read_text())["vm"] == "a"


# --- By way of a proxy ------------------------------------------------------------------------------------------------


def test_proxys_socket_does_as_qemus(own: Machine) -> None:
    with ProxyProcess(own.vm.folder, own.vm.qmp_path) as proxy, proxy.negotiated() as other:
        table = other.hmp("info snapshots")
        assert repl(proxy.path, "--raw", "-c", "info snapshots").out == table.encode()
        assert repl(proxy.path, "-c", "savevm t", "-c", "loadvm t", "-c", "savevm t") == Ended(0, b"", "")
        assert other.returned("query-jobs") == []
        assert snapshots(own) == [["t"], ["t"]]
        assert repl(proxy.path, "-c", "loadvm none") == Ended(1, MISSING.encode(), "")
        assert other.returned("query-jobs") == []
    # The proxy does its snapshot commands, but for a load that is known to fail.
    done = [(record["command_line"], record["action"]) for record in proxy.records]
    saved = [("savevm t", "rewritten"), ("loadvm t", "rewritten"), ("savevm t", "delegated")]
    assert done == [("info snapshots", "passed"), ("info snapshots", "passed"), *saved]

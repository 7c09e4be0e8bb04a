"""Modes and policy options of `hmp-proxy` on a real QEMU: observe, enforce, overwrite, guard, and which disks are taken."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from shim.qmp import encode
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM, snapshots_of
from tests.integration.uefi_machine import DATA_DISK, DISK, FLASH, QCOW2_VARS, RAW_VARS, SECOND_DISK, UEFIVM, machine, proxied
from tests.support.proxy_command import run_proxy
from tests.support.raw_client import DEADLINE_S, RawClient, command_bytes

OBSERVE: Final = ("--mode", "observe")
ENFORCE: Final = ("--mode", "enforce")
BLOCKED_BY_VARSTORE: Final = "Error: Device 'pflash1' is writable but does not support snapshots\r\n"
SECRET: Final = "secret,id=s,data=x"
LUKS: Final = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=100"
NAMED_DISK: Final = (
    "-blockdev driver=qcow2,node-name=disk,file.driver=file,file.node-name=disk-file,file.filename=d0.qcow2",
    "-device virtio-blk-pci,drive=disk",
)
NOT_ALLOWED: Final = "Error: HMP command 'info block' is not allowed here; use QMP: query-block and query-named-block-nodes\r\n"


def hmp_bytes(line: str, id: object = 1) -> bytes:
    return command_bytes("human-monitor-command", {"command-line": line}, id)


def replies(client: RawClient, *commands: bytes) -> list[bytes]:
    """Write the commands in one go, and give the raw reply to each."""
    client.send(b"".join(commands))
    return [client.read_until_reply()[-1] for _ in commands]


def reply(text: str, id: object = 1) -> bytes:
    return (encode({"return": text, "id": id}) + "\r\n").encode()


def jobs_sent(record: dict[str, Any]) -> list[str]:
    return [sent["execute"] for sent in record["qmp"] if sent["execute"].startswith("snapshot-")]


# -- observe --------------------------------------------------------------------------------------------------------------

SNAPSHOT_LINES: Final = ("savevm t", "savevm t", "info snapshots", "loadvm t", "delvm t", "delvm t", "loadvm t")
LINES: Final = (*SNAPSHOT_LINES, "info name", "savevm a b")


def without_time(raw: bytes) -> Any:
    """Leave out of a reply what differs between two runs of QEMU: date and clock in the table of `info snapshots`."""
    value = json.loads(raw)
    rows = [line[:26] if line.startswith("--") else line for line in value["return"].split("\r\n")]
    return value | {"return": rows}


@pytest.mark.parametrize("varstore", [(), (FLASH, RAW_VARS), (FLASH, QCOW2_VARS)], ids=["none", "raw", "qcow2"])
def test_observed_client_gets_qemus_own_answers(varstore: Sequence[str]) -> None:
    """Byte for byte, as a client does that is connected to QEMU itself."""
    with machine(*varstore, DISK) as vm, vm.negotiated() as native:
        expected = [replies(native, hmp_bytes(line))[0] for line in LINES]
    with proxied(*varstore, DISK, options=OBSERVE) as uefi:
        answers = [replies(uefi.client, hmp_bytes(line))[0] for line in LINES]
        found = uefi.proxy.records
        assert uefi.client.returned("query-jobs") == []
    assert list(map(without_time, answers)) == list(map(without_time, expected))
    assert [raw for raw in answers if b"TAG" not in raw] == [raw for raw in expected if b"TAG" not in raw]
    assert [record["reply"] for record in found] == [json.loads(raw) | {"id": "1"} for raw in answers]
    assert [jobs_sent(record) for record in found] == [[]] * len(LINES)
    assert [record["action"] for record in found] == ["observed"] * 7 + ["passed"] * 2


@pytest.mark.parametrize("line", ["savevm t", "loadvm t", "delvm t"])
def test_rehearsal_knows_that_a_migration_has_the_disks(line: str) -> None:
    with proxied(DISK, "-incoming defer", options=OBSERVE) as uefi:
        (answer,) = replies(uefi.client, hmp_bytes(line))
        assert b"is writable but does not support snapshots" in answer
        assert uefi.proxy.records[0]["rehearsed"]["agreed"] is True


def test_observed_answers_are_the_bytes_that_qemu_wrote() -> None:
    """Nothing is made anew: not the id, not the spacing, not the escapes."""
    with proxied(DISK, options=OBSERVE) as uefi:
        ids: tuple[Any, ...] = (1, "é\u2028", None, [1.5, {"a": []}], {})
        for id in ids:
            line = replies(uefi.client, hmp_bytes("loadvm none", id))[0]
            assert json.loads(line)["id"] == id
            (native,) = replies(uefi.client, command_bytes("nosuch", id=id))
            assert native.partition(b', "error"')[0].partition(b'"id": ')[2] in line


def rehearsals(uefi: UEFIVM) -> list[tuple[str, list[str], str | None, bool]]:
    rows = [record for record in uefi.proxy.records if record["rehearsed"]]
    return [
        (
            row["command_line"],
            [command["execute"] for command in row["rehearsed"]["qmp"] if command["execute"].startswith("snapshot-")],
            row["rehearsed"]["text"],
            row["rehearsed"]["agreed"],
        )
        for row in rows
    ]


def test_rewriting_would_agree_where_there_is_no_varstore() -> None:
    missing = "Error: Snapshot 't' does not exist in one or more devices\r\n"
    with proxied(DISK, SECOND_DISK, options=OBSERVE) as uefi:
        for line in SNAPSHOT_LINES:
            uefi.client.hmp(line)
        assert rehearsals(uefi) == [
            ("savevm t", ["snapshot-save"], "", True),
            ("savevm t", [], None, True),  # QEMU's own savevm replaces it
            ("info snapshots", [], None, True),
            ("loadvm t", ["snapshot-load"], "", True),
            ("delvm t", ["snapshot-delete"], "", True),
            ("delvm t", ["snapshot-delete"], "", True),
            ("loadvm t", ["snapshot-load"], missing, True),
        ]


def test_rewriting_would_agree_where_a_data_disk_is_in_the_way() -> None:
    with proxied(DISK, DATA_DISK, options=OBSERVE) as uefi:
        for line in ("savevm t", "delvm t", "loadvm t"):
            text = uefi.client.hmp(line)
            assert rehearsals(uefi)[-1][2:] == (text, True)


def test_rewriting_would_succeed_where_a_raw_varstore_makes_qemu_fail() -> None:
    with proxied(FLASH, RAW_VARS, DISK, options=OBSERVE) as uefi:
        for line in ("savevm t", "delvm t"):
            assert uefi.client.hmp(line) == BLOCKED_BY_VARSTORE
        assert rehearsals(uefi) == [
            ("savevm t", ["snapshot-save"], "", False),
            ("delvm t", ["snapshot-delete"], "", False),
        ]
        record = uefi.proxy.records[0]
        (save, *_) = record["rehearsed"]["qmp"]
        assert len(save["arguments"]["devices"]) == 1
        assert (record["action"], record["reason"]) == ("observed", "only observed")
        assert [node["device"] for node in record["nodes"] if node["included"]] == ["d0"]
        assert uefi.snapshots("d0.qcow2") == []


# -- enforce --------------------------------------------------------------------------------------------------------------


def test_enforced_client_has_its_snapshots() -> None:
    with proxied(FLASH, RAW_VARS, DISK, options=ENFORCE) as uefi:
        for line in ("savevm t", "loadvm t", "info snapshots", "delvm t"):
            assert not uefi.client.hmp(line).startswith("Error")
        assert [record["action"] for record in uefi.proxy.records] == ["rewritten"] * 4


def test_other_hmp_commands_are_refused() -> None:
    with proxied(DISK, options=ENFORCE) as uefi:
        assert replies(uefi.client, hmp_bytes("info block", "é")) == [reply(NOT_ALLOWED, "é")]
        assert uefi.client.execute("human-monitor-command", {"command-line": "info block"}) == {"return": NOT_ALLOWED}
        assert uefi.client.hmp("quit") == "Error: HMP command 'quit' is not allowed here; use QMP: quit\r\n"
        assert uefi.client.returned("query-status")["status"] == "running"
        refused = uefi.proxy.records[0]
        assert (refused["action"], refused["command_line"], refused["qmp"]) == ("refused", "info block", [])
        assert refused["reason"] == NOT_ALLOWED.removeprefix("Error: ").strip()
        assert refused["reply"] == {"return": NOT_ALLOWED, "id": "é"}


def test_refused_command_may_be_spelled_in_any_way() -> None:
    """JSON escapes, single quotes, blanks and the order of the members make no difference."""
    spellings = (
        b'{"execute":"human\\u002dmonitor\\u002dcommand","arguments":{"command-line":"quit"},"id":1}',
        b'{"execute":"human-monitor-command","arguments":{"command\\u002dline":"\\u0071uit"},"id":1}',
        b"{'id':1,'arguments':{'command-line':'quit'},'execute':'human-monitor-command'}",
        b'{"ex\\u0065cute":"human-monitor-command","id":1,"arguments":{"command-line":" \\tquit "}}',
        b'\n{\n"execute"\n:\n"human-monitor-command"\n,"id":1,"arguments":{"cpu-index":0,"command-line":"q"}}',
    )
    with proxied(DISK, options=ENFORCE) as uefi:
        for spelling in spellings:
            (answer,) = replies(uefi.client, spelling)
            assert b"is not allowed here; use QMP: quit" in answer
        assert uefi.vm.is_alive


def test_refusal_keeps_its_place_among_the_replies() -> None:
    commands = (
        *(command_bytes("query-name", id=1), hmp_bytes("info block", 2), hmp_bytes("savevm t", 3), hmp_bytes("info block", 4)),
        *(command_bytes("query-name", id=5), hmp_bytes("info block", 6), hmp_bytes("info block", 7)),
        *(hmp_bytes("savevm a b", 8), hmp_bytes("info block", 9), command_bytes("nosuch", id=10)),
    )
    with proxied(DISK, options=ENFORCE) as uefi:
        answers = list(map(json.loads, replies(uefi.client, *commands)))
        assert [answer["id"] for answer in answers] == list(range(1, 11))
        assert [answer["id"] for answer in answers if answer.get("return") == NOT_ALLOWED] == [2, 4, 6, 7, 9]
        assert answers[2]["return"] == ""


ALLOWED: Final = ("--allow", "info block", "--allow", "qemu-io")


@pytest.mark.parametrize(
    ("allow", "line", "passes"),
    [
        (ALLOWED, "info block", True),
        (ALLOWED, "info  block -v", True),
        (ALLOWED, "qemu-io d0 flush", True),
        (ALLOWED, "info name", False),
        (ALLOWED, "info", False),
        (ALLOWED, "info blockstats", False),
        (("--allow", "info"), "info name", True),
        (("--allow", "info"), "info", True),
        (("--allow", "info"), "stop", False),
        ((), "info name", False),
    ],
)
def test_allowed_commands(allow: Sequence[str], line: str, passes: bool) -> None:
    with proxied(DISK, options=[*ENFORCE, *allow]) as uefi:
        refused = uefi.client.hmp(line).startswith("Error: HMP command ")
        assert refused is not passes
        assert uefi.proxy.records[-1]["action"] == ("passed" if passes else "refused")


def test_what_is_no_command_gets_qemus_own_answer() -> None:
    lines = ("", "  ", "savevm a b", "loadvm", 'delvm "a', "info snapshots x", "/info block")
    with machine(DISK) as vm, vm.negotiated() as native:
        expected = [native.hmp(line) for line in lines]
    with proxied(DISK, options=ENFORCE) as uefi:
        assert [uefi.client.hmp(line) for line in lines] == expected
        assert {record["action"] for record in uefi.proxy.records} == {"passed"}
        ill_typed = uefi.client.execute("human-monitor-command", {"command-line": 5})
        assert ill_typed["error"]["desc"] == "Invalid parameter type for 'command-line', expected: string"


# -- policy options -------------------------------------------------------------------------------------------------------


def test_overwrite_refuse() -> None:
    with proxied(DISK, SECOND_DISK, options=["--overwrite", "refuse"]) as uefi:
        assert uefi.client.hmp("savevm t") == ""
        before = uefi.snapshots("d0.qcow2")
        refusal = "Error: snapshot 't' exists on 'd0' and may not be replaced; delvm it first\r\n"
        assert uefi.client.hmp("savevm t") == refusal
        assert uefi.snapshots("d0.qcow2") == before
        assert uefi.client.returned("query-status")["status"] == "running"
        assert uefi.proxy.records[-1]["action"] == "refused"
        assert uefi.client.hmp("delvm t") == ""
        assert uefi.client.hmp("savevm t") == ""


@pytest.fixture(scope="module")
def encrypted_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """To make one takes long, which is what its encryption is about, and may fail: "Unable to get accurate CPU usage"."""
    path = tmp_path_factory.mktemp("encrypted") / "e.qcow2"
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "--object", SECRET, "-o", LUKS, str(path), "8M"]
    deadline = time.monotonic() + DEADLINE_S
    while (made := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
        assert time.monotonic() < deadline, made.stderr
    return path


def with_encrypted_disk(image: Path) -> QEMUVM:
    """A VM whose only disk is an encrypted qcow2."""
    drive = f"-drive if=none,id=d0,format=qcow2,file={image},encrypt.key-secret=s -device virtio-blk-pci,drive=d0"
    return QEMUVM(["-object", SECRET, *drive.split()])


def test_guard_keeps_qemu_alive(encrypted_image: Path) -> None:
    vm = with_encrypted_disk(encrypted_image)
    with vm, ProxyProcess(vm.folder, vm.qmp_path) as proxy, proxy.negotiated() as client:
        text = client.hmp("savevm t")
        assert re.match(r"Error: QEMU \S+ would crash: it cannot store the VM state on 'd0', which is encrypted\. ", text)
        assert vm.is_alive
        assert (jobs_sent(proxy.records[0]), proxy.records[0]["action"]) == ([], "refused")


def test_without_guard_qemu_crashes_as_it_does_natively(encrypted_image: Path) -> None:
    vm = with_encrypted_disk(encrypted_image)
    with vm, ProxyProcess(vm.folder, vm.qmp_path, ["--no-guard"]) as proxy, proxy.negotiated() as client:
        client.send(hmp_bytes("savevm t"))
        client.expect_eof()
        assert vm.wait_gone() == -signal.SIGABRT
        (record,) = proxy.records
        assert record["reason"] == "the connection to QEMU was lost, so the outcome is not known"


@pytest.mark.parametrize(
    ("options", "taken", "vmstate"),
    [
        ("", ["d0", "d1"], "d0"),
        ("--vmstate d1", ["d0", "d1"], "d1"),
        ("--vmstate nosuch* --vmstate device:d1", None, None),
        ("--exclude d0", ["d1"], "d1"),
        ("--exclude driver:qcow2 --include d1", ["d0", "d1"], None),
        ("--exclude kind:removable --exclude device:d1", None, None),
        ("--vmstate qdev:*peripheral-anon/device[[]1]*", ["d0", "d1"], "d1"),
        ("--exclude file:*d1.qcow2", ["d0"], "d0"),
        ("--policy hmp", ["d0", "d1"], "d0"),
    ],
)
def test_which_disks_are_taken(options: str, taken: list[str] | None, vmstate: str | None) -> None:
    """taken: None where the options are refused at start."""
    with machine(DISK, SECOND_DISK) as vm:
        if taken is None:
            wire = ["--upstream", f"unix:{vm.qmp_path}", "--listen", f"unix:{vm.folder}/l"]
            ended = run_proxy(*wire, "--strict", *options.split())
            assert ended.returncode == 2
            return
        with ProxyProcess(vm.folder, vm.qmp_path, options.split()) as proxy, proxy.negotiated() as client:
            text = client.hmp("savevm t")
            found = {disk: dict(snapshots_of(vm.path(f"{disk}.qcow2"))).get("t") for disk in ("d0", "d1")}
            if vmstate is None:
                assert text == "Error: no block device can store vmstate for snapshot\r\n"
                assert found == {"d0": None, "d1": None}
                return
            assert text == ""
            assert [disk for disk, size in found.items() if size is not None] == taken
            assert [disk for disk, size in found.items() if size] == [vmstate]


def test_included_varstore_is_not_left_out_any_more() -> None:
    """It cannot be in a snapshot, and now QEMU says so."""
    with proxied(FLASH, RAW_VARS, DISK, options=["--include", "kind:pflash"]) as uefi:
        assert uefi.client.hmp("savevm t") == BLOCKED_BY_VARSTORE
    with proxied(FLASH, QCOW2_VARS, DISK, options=["--exclude", "kind:pflash"]) as uefi:
        assert uefi.client.hmp("savevm t") == ""
        assert (uefi.snapshots("vars.qcow2"), uefi.snapshots("d0.qcow2")) == ([], [("t", True)])


# -- patterns that match nothing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["vmstate", "include", "exclude"])
def test_pattern_of_an_option_that_matches_nothing(key: str) -> None:
    with machine(*NAMED_DISK) as vm:
        ended = run_proxy("--upstream", f"unix:{vm.qmp_path}", "--listen", f"unix:{vm.folder}/l", f"--{key}", "d0", "--strict")
        assert ended.returncode == 2
        reason = "'d0' matches no block node of the VM, which has disk, disk-file"
        assert (ended.stdout, ended.stderr) == ("", f"hmp-proxy: command line: --{key}: {reason}\n")
        assert not vm.path("l").exists()
        with vm.negotiated() as client:
            assert client.hmp("savevm t") == ""


@pytest.mark.parametrize("place", ["own", "inherited"])
def test_pattern_of_a_file_that_matches_nothing(place: str) -> None:
    with machine(*NAMED_DISK) as vm:
        setting = "exclude = ['disk*', 'node:d0']\nstrict = true\n"
        table = f"[[vm]]\nupstream = 'unix:{vm.qmp_path}'\nlisten = 'unix:{vm.folder}/l'\n"
        path = vm.path("hmpshim.toml")
        path.write_text(f"{table}{setting}" if place == "own" else f"[defaults]\n{setting}{table}")
        ended = run_proxy("--config", str(path))
        line = 4 if place == "own" else 2
        reason = "'node:d0' matches no block node of the VM, which has disk, disk-file"
        assert (ended.returncode, ended.stderr) == (2, f"hmp-proxy: {path}:{line}: exclude: {reason}\n")

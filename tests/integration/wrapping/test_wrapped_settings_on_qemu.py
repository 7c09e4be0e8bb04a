"""Which QEMU is wrapped, and by which settings: from the wrapper's command line, from the environment, and called by a link."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.integration.qemu_vm import make_qcow2, qemu_binary
from tests.integration.uefi_machine import DISK
from tests.integration.wrapping.wrapped_process import QMP, WRAPPED, Place, ended

NAME: Final = os.path.basename(qemu_binary())
WHERE: Final = os.path.dirname(qemu_binary())


@pytest.fixture
def place() -> Iterator[Place]:
    with Place() as place:
        yield place


def check_serves(place: Place, *program: str | Path, **environment: str) -> None:
    process = place.start_program([str(word) for word in program], QMP, environment)
    with place.negotiated() as client, place.negotiated() as another:
        assert place.qemus() == [process.pid]
        assert another.returned("query-status")["status"] == "running"
        client.returned("quit")
    assert ended(process) == (0, "", "")
    place.wait_gone()


def failure(place: Place, *program: str | Path, **environment: str) -> tuple[int, str]:
    code, stdout, stderr = ended(place.start_program([str(word) for word in program], QMP, environment))
    assert stdout == ""
    place.wait_gone()
    return code, stderr


def test_link_by_the_name_of_qemu_finds_the_next_one_on_the_path(place: Place) -> None:
    link = place.install(NAME)
    check_serves(place, link, PATH=f"{link.parent}:{WHERE}")
    check_serves(place, NAME, PATH=f"{link.parent}:{WHERE}")


def test_wrapper_finds_a_name_on_the_path_and_not_itself(place: Place) -> None:
    place.install(NAME)
    place.install("hmp-proxy")
    program = place.path("bin") / "hmp-proxy"
    check_serves(place, program, "wrap", "--", NAME, PATH=f"{program.parent}:{WHERE}")


def test_environment_names_the_real_one(place: Place) -> None:
    link = place.install("qemu-system-x86_64")
    check_serves(place, link, PATH=str(link.parent), HMPSHIM_QEMU=qemu_binary())


def test_option_names_the_real_one(place: Place) -> None:
    program = place.install("hmp-proxy")
    check_serves(place, program, "wrap", "--qemu", qemu_binary(), "--", "qemu-system-x86_64", PATH="/none")


def test_program_that_is_not_found_is_told_of(place: Place) -> None:
    link = place.install("qemu-system-x86_64")
    where = f"{link.parent}"
    reason = "there is none on PATH beside the wrapper; name it with --qemu or HMPSHIM_QEMU"
    assert failure(place, link, PATH=where) == (
        127,
        f"hmp-proxy: cannot find the QEMU to run, qemu-system-x86_64: {reason}\n",
    )
    assert failure(place, link, PATH=where, HMPSHIM_QEMU="/none/qemu") == (
        127,
        "hmp-proxy: cannot run /none/qemu: No such file or directory\n",
    )
    assert failure(place, link, PATH=where, HMPSHIM_QEMU="/") == (126, "hmp-proxy: cannot run /: Permission denied\n")


@pytest.mark.parametrize("exec_word", ["exec ", ""])
def test_script_that_starts_the_wrapper_again_goes_no_circles(place: Place, exec_word: str) -> None:
    link = place.install("qemu-system-x86_64")
    script = place.path("script")
    script.write_text(f'#!/bin/sh\n{exec_word}{link} "$@"\n')
    script.chmod(0o755)
    code, stderr = failure(place, link, PATH=str(link.parent), HMPSHIM_QEMU=str(script))
    assert code == 127
    assert "a script in its place starts the wrapper again; name the real one with --qemu or HMPSHIM_QEMU" in stderr


def test_file_has_the_settings_of_a_link(place: Place) -> None:
    link = place.install(NAME)
    make_qcow2(place.path("d0.qcow2"))
    place.path("wrap.toml").write_text(f'[defaults]\nexclude = "nonesuch"\naudit = "{place.path("audit.jsonl")}"\n')
    environment = {"PATH": f"{link.parent}:{WHERE}", "HMPSHIM_CONFIG": str(place.path("wrap.toml"))}
    process = place.start_program([str(link)], f"{QMP} {DISK}", environment)
    with place.negotiated() as client:
        assert client.hmp("savevm t") == ""
        client.returned("quit")
    code, _, stderr = ended(process)
    assert code == 0
    assert "'nonesuch'" in stderr  # such a pattern is told of
    place.wait_gone()
    (record,) = [json.loads(line) for line in place.path("audit.jsonl").read_text().splitlines()]
    assert (record["command_line"], record["action"]) == ("savevm t", "rewritten")


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("[defaults]\npolicy = 1\n", 2, ":2: policy: "),
        ('[defaults]\npolicy = "nonesuch"\n', 2, ":2: policy: "),
        ("[defaults]\nnonesuch = 1\n", 2, ":2: nonesuch: unknown key"),
        ('[defaults]\npolicy = "hmp"\nexclude = "d0"\n', 2, ":3: exclude: "),
        ('[defaults]\naudit = "-"\n', 2, ": audit: standard output is QEMU's; write a file, or syslog:"),
        ('[defaults]\naudit = "/none/audit"\n', 6, "cannot write the audit log /none/audit: "),
        ("[defaults\n", 2, "invalid TOML"),
    ],
)
def test_mistake_in_the_file_is_told_of_before_qemu_is_started(place: Place, text: str, code: int, told: str) -> None:
    link = place.install(NAME)
    place.path("wrap.toml").write_text(text)
    status, stderr = failure(
        place, link, PATH=f"{link.parent}:{WHERE}", HMPSHIM_CONFIG=str(place.path("wrap.toml")), HMPSHIM_QEMU="/bin/false"
    )
    assert status == code
    assert stderr.startswith("hmp-proxy: ")
    assert told in stderr
    assert stderr.count("\n") == 1


def test_missing_file_is_told_of(place: Place) -> None:
    link = place.install(NAME)
    status, stderr = failure(place, link, HMPSHIM_CONFIG="/none/wrap.toml")
    assert (status, stderr) == (2, "hmp-proxy: /none/wrap.toml: No such file or directory\n")


def test_options_have_the_settings_of_a_command(place: Place) -> None:
    make_qcow2(place.path("d0.qcow2"))
    options = ["--verbose", "--rule", "deny delvm for listener=unix:q", "--audit", "audit.jsonl"]
    process = place.start(WRAPPED, f"{QMP} {DISK}", options=options)
    with place.negotiated() as client:
        assert client.hmp("savevm t") == ""
        denied = client.execute("human-monitor-command", {"command-line": "delvm t"})
        assert denied["error"]["desc"] == "HMP command 'delvm' is not allowed here"
        client.returned("quit")
    code, _, stderr = ended(process)
    assert code == 0
    assert "unix:q" in stderr
    place.wait_gone()
    records = [json.loads(line) for line in place.path("audit.jsonl").read_text().splitlines()]
    assert [record["action"] for record in records] == ["rewritten", "refused"]

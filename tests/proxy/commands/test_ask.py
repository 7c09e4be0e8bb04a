"""`hmp-proxy status` and its like: what is asked, and what is printed."""

import io
import json
import pwd
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.command_line import ask as command_line
from proxy.command_line.invocations import Question
from proxy.commands import ask as module
from proxy.commands.ask import ask
from proxy.commands.asking import NoProxyError, RefusedByProxyError
from proxy.control.status import State
from tests.support.processes.vm_statuses import BUSY, OFF, as_told
from tests.support.proxy.answering_proxy import answering
from tests.support.proxy.asked_sockets import short_folder
from tests.support.proxy_command import run_proxy

NONE_RUNS = {"at_work": False, "connected": True}
GONE = {"at_work": False, "connected": False}
PAUSED = "snapshot commands of 'a' are paused"
WHO = "/usr/bin/tool (pid 5, uid 0)"


@pytest.fixture
def path() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder / "c"


def said(path: Path, words: str, answer: Any) -> tuple[dict[str, Any], str, int]:
    """Return what was asked, what was printed, and the status."""
    name, *others = words.split()
    question, output = Question(name), io.StringIO()
    option = "--admin" if question.acts else "--control"
    with answering(path, json.dumps(answer).encode()) as received:
        status = ask(command_line.parse(question, [*others, option, str(path)]), output)
    path.unlink()
    return json.loads(received[0]), output.getvalue(), status


def test_status_of_all_or_of_one(path: Path) -> None:
    asked, shown, status = said(path, "status", {"return": as_told(BUSY, OFF)})
    assert (asked, status) == ({"command": "status"}, 0)
    assert shown.splitlines()[0].startswith("VM         STATE")
    asked, shown, _ = said(path, "status a", {"return": as_told(BUSY)})
    assert asked == {"command": "status", "vm": "a"}
    assert f"3       5    {pwd.getpwuid(0).pw_name}        /usr/bin/tool" in shown
    _, shown, _ = said(path, "status a --json", {"return": as_told(BUSY)})
    assert json.loads(shown) == json.loads(json.dumps(as_told(BUSY)))


def test_clients_of_all_or_of_one(path: Path) -> None:
    asked, shown, _ = said(path, "clients", {"return": as_told(BUSY, OFF)})
    assert asked == {"command": "status"}
    assert [line.split()[:2] for line in shown.splitlines()] == [["VM", "CLIENT"], ["a", "3"], ["a", "1"]]
    _, shown, _ = said(path, "clients a", {"return": as_told(BUSY)})
    assert shown.startswith("CLIENT  PID")
    _, shown, _ = said(path, "clients --json", {"return": as_told(OFF)})
    assert json.loads(shown) == {"vms": [{"name": "long-name", "clients": []}]}


def test_process_that_takes_over_is_shown(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    takes_over = {"pid": 7, "version": "9", "for_s": 5.0, "waits_for": [{"vm": "a", "why": "TLS"}]}
    told = as_told(BUSY, replace(OFF, state=State.HANDED_OVER, problem=None)) | {"replaced_by": takes_over}
    for words in ("status", "status a"):
        _, shown, _ = said(path, words, {"return": told})
        notes = "hmpshim 9 (pid 7) has been taking over for 5s\nnot handed over yet: a: TLS\n"
        assert notes in shown
    said(path, "clients", {"return": told})
    assert caplog.messages == ["not shown are the clients of VMs that were handed over to another process: long-name"]
    with pytest.raises(NoProxyError, match="what answers there is another version of hmp-proxy"):
        said(path, "status", {"return": told | {"replaced_by": 5}})


@pytest.mark.parametrize(
    ("words", "answer", "asked", "shown"),
    [
        ("metrics", "a 1\n", {}, "a 1\n"),
        ("disconnect a 7", [WHO, WHO], {"vm": "a", "client": "7"}, f"disconnected {WHO}\ndisconnected {WHO}\n"),
        ("pause a", NONE_RUNS, {"vm": "a", "no_wait": False}, f"{PAUSED}, and none runs\n"),
        ("pause a", GONE, {"vm": "a", "no_wait": False}, f"{PAUSED}, and its QEMU is not there\n"),
        (
            "pause a --for 5 --no-wait",
            NONE_RUNS | {"at_work": True},
            {"vm": "a", "for_s": 5, "no_wait": True},
            f"{PAUSED}, and one still runs\n",
        ),
        ("resume a", {"was_paused": True}, {"vm": "a"}, "snapshot commands of 'a' go on\n"),
        ("resume a", {"was_paused": False}, {"vm": "a"}, "snapshot commands of 'a' were not paused\n"),
        ("reload", [], {}, "the configuration was read again\n"),
    ],
)
def test_what_is_done_is_said(path: Path, words: str, answer: Any, asked: dict[str, Any], shown: str) -> None:
    assert said(path, words, {"return": answer}) == ({"command": words.split()[0], **asked}, shown, 0)


def test_mistakes_are_errors(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, shown, status = said(path, "reload", {"return": ["f:1: a", "f:2: b"]})
    assert (shown, status, caplog.messages) == ("", 2, ["f:1: a", "f:2: b"])


def test_refusal_and_another_version_are_errors(path: Path) -> None:
    with pytest.raises(RefusedByProxyError, match="no VM 'b' is served"):
        said(path, "status b", {"error": "no VM 'b' is served; there are a"})
    path.unlink()
    with pytest.raises(NoProxyError, match="what answers there is another version of hmp-proxy"):
        said(path, "status", {"return": {"vms": [{"name": "a"}]}})


def test_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_none(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", find_none)
    assert module._user_name(4_000_000_001) == "4000000001"


def test_program(path: Path) -> None:
    with answering(path, json.dumps({"return": as_told(OFF)}).encode()):
        done = run_proxy("status", "--control", str(path), "long-name")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("VM         STATE ")
    done = run_proxy("status", "--control", f"{path}.none")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)

"""`hmp-proxy upgrade`: what is asked, what is said, and whether another process comes."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from host.errors import ProgramError
from host.log_lines import LogLines
from proxy.command_line import ask as command_line
from proxy.command_line.invocations import Question
from proxy.commands import upgrade as module
from proxy.commands.ask import ask
from proxy.commands.asking import NoProxyError, RefusedByProxyError
from proxy.errors import UpgradeError
from tests.support.proxy.answering_proxy import answering
from tests.support.proxy.asked_sockets import short_folder

LEFT: Final = {"return": {"pid": 7, "why_not": {}}}
OLD: Final = {"return": {"version": "0.1.0", "pid": 7, "vms": []}}
NEW: Final = {"return": {"version": "0.2.0", "pid": 8, "vms": []}}
NOT_YET: Final = {"error": "not yet"}


@pytest.fixture
def path() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder / "d"


def said(path: Path, *answers: Any, options: tuple[str, ...] = ()) -> tuple[dict[str, Any], str]:
    """Return what was asked first, and what was printed."""
    output = io.StringIO()
    with answering(path, *(json.dumps(answer).encode() for answer in answers)) as received:
        assert ask(command_line.parse(Question.UPGRADE, ["--admin", str(path), *options]), output) == 0
    assert [json.loads(line)["command"] for line in received[1:]] == ["status"] * (len(answers) - 1)
    return json.loads(received[0]), output.getvalue()


def test_it_waits_for_the_new_process(path: Path) -> None:
    asked, shown = said(path, LEFT, OLD, NOT_YET, NEW)
    assert asked == {"command": "upgrade", "formats": [1, 2], "end_others": False}
    assert shown == "hmpshim 0.2.0 now serves the VMs (pid 8)\n"


def test_others_are_ended_where_that_is_wanted(path: Path) -> None:
    assert said(path, LEFT, NEW, options=("--end-others",))[0]["end_others"] is True


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (
            {"return": {"pid": 7, "why_not": {"b": "TLS", "a": "telnet"}}},
            UpgradeError,
            "all VMs are served as before; --end-others",
        ),
        ({"error": "no service manager has started it"}, RefusedByProxyError, "no service manager has started it"),
        ({"return": []}, NoProxyError, "another version of hmp-proxy"),
        ({"return": {"pid": 7}}, NoProxyError, "another version of hmp-proxy"),
    ],
)
def test_it_is_said_why_not(
    path: Path,
    answer: Any,
    error: type[ProgramError],
    text: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caplog.handler, "formatter", LogLines("p"))
    with pytest.raises(error, match=text):
        said(path, answer)
    told = ["p: a: it cannot be handed over: telnet", "p: b: it cannot be handed over: TLS"]
    assert caplog.text.splitlines() == (told if error is UpgradeError else [])


def test_new_process_that_does_not_come_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_START_S", 0)
    with pytest.raises(NoProxyError, match="the process has left its VMs to systemd, and no new one answers"):
        said(path, LEFT)

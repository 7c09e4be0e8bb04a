"""One request at a proxy's socket, which answers what it should, or is something else."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.commands import asking
from proxy.commands.asking import NoProxyError, RefusedByProxyError, request
from proxy.control.protocol import Request
from tests.support.proxy.answering_proxy import answering
from tests.support.proxy.asked_sockets import short_folder

STATUS = Request("status", {"vm": "a"})


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


def test_request_is_sent_and_its_answer_returned(folder: Path) -> None:
    with answering(folder / "c", b'{"return": [5]}\n') as received:
        assert request(str(folder / "c"), "--control", STATUS) == [5]
    assert json.loads(received[0]) == {"command": "status", "vm": "a"}


def test_refusal_is_an_error(folder: Path) -> None:
    with answering(folder / "c", b'{"error": "no VM \'a\' is served"}\n'), pytest.raises(RefusedByProxyError) as caught:
        request(str(folder / "c"), "--control", STATUS)
    assert (str(caught.value), caught.value.exit_status) == ("no VM 'a' is served", 2)


def test_no_proxy_there(folder: Path) -> None:
    path = folder / "none"
    with pytest.raises(NoProxyError) as caught:
        request(str(path), "--admin", STATUS)
    told = f"No such file or directory (start it with --admin {path}, or name its socket with --admin)"
    assert str(caught.value) == f"cannot ask the proxy at {path}: {told}"
    assert caught.value.exit_status == 3


def test_socket_of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(asking, "_converse", refuse)
    with pytest.raises(NoProxyError, match="--control PATH,mode=0660,group=GROUP lets a group in"):
        request("/c", "--control", STATUS)


def test_proxy_that_does_not_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_DEADLINE_S", 0.01)
    with answering(folder / "c", None), pytest.raises(NoProxyError, match="timed out"):
        request(str(folder / "c"), "--control", STATUS)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0\r\n", b"{}", b"\xff"])
def test_something_else_there(folder: Path, answer: bytes) -> None:
    with answering(folder / "c", answer), pytest.raises(NoProxyError, match="is not hmp-proxy, or another version of it"):
        request(str(folder / "c"), "--control", STATUS)

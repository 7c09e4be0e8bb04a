"""`hmp-proxy status`, at a socket that answers what it should, and others."""

import json
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.commands.ask import NoProxyError, default_path, show_status
from proxy.control.status import State, VMStatus, as_json
from tests.support.proxy_command import run_proxy

VMS = [VMStatus("a", "unix:/q", State.SERVED), VMStatus("b", "unix:/q2", State.WAITED_FOR, "it is off")]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unix socket paths end at 107 bytes (unix(7)), so not pytest's tmp_path."""
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as name:
        yield Path(name)


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """Answer once."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def show(path: Path, name: str | None = None, *, as_json_: bool = False) -> str:
    with answering(path, json.dumps({"version": "1", **as_json(VMS)}).encode()):
        return show_status(str(path), name, as_json=as_json_)


def test_all_vms_or_one_as_text_or_json(folder: Path) -> None:
    assert show(folder / "1").splitlines()[-1] == "b: it is off"
    assert "CLIENT" in show(folder / "2", "b")
    assert [vm["name"] for vm in json.loads(show(folder / "3", as_json_=True))["vms"]] == ["a", "b"]
    assert [vm["name"] for vm in json.loads(show(folder / "4", "b", as_json_=True))["vms"]] == ["b"]


def test_no_such_vm(folder: Path) -> None:
    with pytest.raises(Exception, match=r"^no VM 'c' is served: there are a, b$") as caught:
        show(folder / "1", "c")
    assert caught.value.exit_status == 2  # type: ignore[attr-defined]


def test_no_proxy_there(folder: Path) -> None:
    with pytest.raises(NoProxyError) as caught:
        show_status(str(folder / "none"), None, as_json=False)
    path = folder / "none"
    told = f"No such file or directory (start it with --control {path}, or name its socket with --control)"
    assert str(caught.value) == f"cannot ask the proxy at {path}: {told}"
    assert caught.value.exit_status == 3


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0\r\n", b"{}", b'{"vms": [{"name": "a"}]}'])
def test_something_else_there(folder: Path, answer: bytes) -> None:
    with answering(folder / "c", answer), pytest.raises(NoProxyError, match="is not hmp-proxy, or another version of it"):
        show_status(str(folder / "c"), None, as_json=False)


def test_default_path_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_path() == "/run/hmp-proxy/control.sock"
    monkeypatch.setattr(os, "geteuid", lambda: 7)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/x")
    assert default_path() == "/x/hmp-proxy/control.sock"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert default_path() == "/run/user/7/hmp-proxy/control.sock"


def test_program(folder: Path) -> None:
    with answering(folder / "c", json.dumps(as_json(VMS)).encode()):
        done = run_proxy("status", "--control", str(folder / "c"), "a")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("VM  STATE ")
    done = run_proxy("status", "--control", str(folder / "none"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)

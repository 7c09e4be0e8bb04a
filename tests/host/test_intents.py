"""Intents on the disk: there when the process is not, whole or not at all, and nobody's trouble when they cannot be written."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from host.intents import IntentStore, intents_of, state_folder
from host.net.addresses import DescriptorAddress, UnixAddress
from shim.plans.intent import Intent
from shim.plans.plan import Intend, Settle
from shim.plans.recovery import Written

FIRST, SECOND = (Intent(tag, f"hmpshim-{tag}", "a", ("a",), f"hmpshim-{tag}-job") for tag in ("t", "u"))
ADDRESS = "unix:/run/vm1/qmp.sock"


def at(now_s: float, folder: Path | None, address: str = ADDRESS) -> IntentStore:
    return IntentStore(address, folder, now_s=lambda: now_s)


def test_next_process_finds_what_was_written(tmp_path: Path) -> None:
    store = at(100.0, tmp_path)
    store.note(Intend(FIRST))
    store.note(Intend(SECOND))
    later = at(130.0, tmp_path)
    assert later.written() == [Written(FIRST, 30.0), Written(SECOND, 30.0)]
    later.note(Settle(FIRST))
    assert at(131.0, tmp_path).written() == [Written(SECOND, 31.0)]


def test_token_stays_the_same_and_is_each_vms_own(tmp_path: Path) -> None:
    assert at(1.0, tmp_path).token == at(2.0, tmp_path).token
    assert at(1.0, tmp_path).token != at(1.0, tmp_path, "unix:/run/vm2/qmp.sock").token
    assert at(1.0, None).token != at(1.0, None).token


def test_clock_that_was_set_back_makes_no_negative_age(tmp_path: Path) -> None:
    at(100.0, tmp_path).note(Intend(FIRST))
    assert at(50.0, tmp_path).written() == [Written(FIRST, 0.0)]


def test_file_is_its_owners_only(tmp_path: Path) -> None:
    at(1.0, tmp_path / "new").note(Intend(FIRST))
    (file,) = (tmp_path / "new").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"address": "unix:/run/vm1/qmp.sock"}', b"[" * 100_000, b"5"], ids=range(8)
)
def test_damaged_file_counts_as_none(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    at(1.0, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    store = at(2.0, tmp_path)
    assert store.written() == []
    assert caplog.text.count("cannot be read") == 1
    store.note(Intend(FIRST))
    assert len(at(3.0, tmp_path).written()) == 1


@pytest.mark.parametrize(("key", "wrong"), [("address", "unix:/other"), ("token", "x"), ("token", "0" * 15)])
def test_file_of_somebody_else_counts_as_none(tmp_path: Path, key: str, wrong: Any) -> None:
    at(1.0, tmp_path).note(Intend(FIRST))
    (file,) = tmp_path.iterdir()
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: wrong}))
    assert at(2.0, tmp_path).written() == []


def test_folder_that_cannot_be_made_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    store = at(1.0, tmp_path / "file")
    store.note(Intend(FIRST))
    assert store.written() == [Written(FIRST, 0.0)]
    assert caplog.text.count("cannot be written") == 1


def test_draft_that_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    at(1.0, tmp_path)
    (file,) = tmp_path.iterdir()
    file.with_name(f"{file.name}.{os.getpid()}").write_text("half")
    at(2.0, tmp_path).note(Intend(FIRST))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("address", ["unix:/" + "x" * 106, "tcp:[::1]:4444", "accept:unix:/a b/ü", "unix:/\udcff"])
def test_every_address_names_a_file(tmp_path: Path, address: str) -> None:
    at(1.0, tmp_path, address).note(Intend(FIRST))
    assert len(at(2.0, tmp_path, address).written()) == 1


def test_only_an_address_that_tells_one_vm_from_another_has_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    intents_of(DescriptorAddress(3))
    assert list(tmp_path.iterdir()) == []
    token = intents_of(UnixAddress("/run/vm1")).token
    assert intents_of(UnixAddress("/run/vm1")).token == token


def test_folder_is_systemds_or_xdgs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")
    assert state_folder() == Path("/var/lib/a")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert state_folder() == Path("/x/hmpshim")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert state_folder() == Path("/home/me/.local/state/hmpshim")


# --- A file that several programs may come to ---


def shared(folder: Path, now_s: float = 1.0) -> IntentStore:
    return IntentStore(ADDRESS, folder, now_s=lambda: now_s, is_shared=True)


def test_shared_file_is_made_with_the_first_intent_only(tmp_path: Path) -> None:
    store = shared(tmp_path / "state")
    assert not (tmp_path / "state").exists()
    store.note(Intend(FIRST))
    store.close()
    later = shared(tmp_path / "state", 5.0)
    assert (later.written(), later.token) == ([Written(FIRST, 4.0)], store.token)
    later.close()


def test_shared_file_is_its_first_writers(tmp_path: Path) -> None:
    """What another program that lives has intended is its own to finish."""
    first, second = shared(tmp_path), shared(tmp_path)
    first.note(Intend(FIRST))
    second.note(Intend(SECOND))
    third = shared(tmp_path)
    assert (third.written(), second.written()) == ([], [Written(SECOND, 0.0)])
    assert len({first.token, second.token, third.token}) == 3
    for store in (first, second, third):
        store.close()
        store.close()
    last = shared(tmp_path)
    assert last.written() == [Written(FIRST, 0.0)]
    last.close()


def test_shared_file_that_cannot_be_locked_leaves_memory(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    store = shared(tmp_path / "state")
    store.note(Intend(FIRST))
    assert store.written() == [Written(FIRST, 0.0)]


def test_what_another_process_has_kept_is_taken_up() -> None:
    one = IntentStore("fd:3", None)
    one.keep(Intend(FIRST))
    other = IntentStore("fd:3", None)
    other.take_up(json.loads(json.dumps(one.to_members())))
    assert other.token == one.token
    assert [written.intent for written in other.written()] == [FIRST]
    with pytest.raises(KeyError):
        other.take_up({"token": "t"})

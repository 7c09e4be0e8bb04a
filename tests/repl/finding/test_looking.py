"""A look everywhere, at a folder that looks like /proc, files, and a proxy's control socket."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.settings.config import VMConfig
from repl.finding.configured import load_vms
from repl.finding.looking import Places, look
from tests.support.process_folder import add_process, write_sockets
from tests.support.processes.vm_statuses import OFF, as_told
from tests.support.proxy.answering_proxy import answering
from tests.support.proxy.asked_sockets import short_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


def places(folder: Path) -> Places:
    return Places([folder / "f", folder / "g"], [folder / "c", folder / "d", folder / "c"], folder / "proc")


def test_nothing_anywhere(folder: Path) -> None:
    found = look(None, places(folder))
    assert found.vms == ()
    assert found.places == (
        f"{folder}/f (not there)",
        f"{folder}/g (not there)",
        f"{folder}/c (no proxy answers)",
        f"{folder}/d (no proxy answers)",
        f"{folder}/proc (no running QEMUs)",
    )


def test_something_everywhere(folder: Path) -> None:
    (folder / "f").write_text('[[vm]]\nname = "file"\nupstream = "unix:/none"\nlisten = "unix:/l"\n')
    (folder / "g").write_text('[[vm]]\nupstream = "nonsense"\nlisten = "unix:/k"\n[[vm]]\nname = "good"\ntake_over = "/g"\n')
    (folder / "qmp").touch()
    add_process(folder / "proc", 7, "kvm", "-name", "guest", "-qmp", f"unix:{folder}/qmp,server=on")
    write_sockets(folder / "proc", {f"{folder}/qmp": False})
    told = as_told(OFF)
    told["vms"][0]["listen"] = ["unix:/p"]
    with answering(folder / "c", json.dumps({"return": told}).encode()):
        found = look(None, places(folder))
    rows = [(vm.name, vm.via.value, vm.state.value) for vm in found.vms]
    assert rows == [
        ("file", "proxy", "off"),
        ("good", "proxy", "off"),
        ("long-name", "proxy", "off"),
        ("guest", "QEMU", "free"),
    ]
    counts = [text.rpartition(" (")[2] for text in found.places]
    assert counts == ["1 VM)", "1 VM, 1 mistake)", "1 VM)", "no proxy answers)", "1 running QEMU)"]
    (mistake,) = found.mistakes
    assert mistake.startswith(f"{folder}/g:2: upstream: ")


def test_proxy_without_a_control_socket_is_found_where_it_listens(folder: Path) -> None:
    for name in ("qmp", "l"):
        (folder / name).touch()
    add_process(folder / "proc", 7, "kvm", "-name", "two guest", "-qmp", f"unix:{folder}/qmp,server=on")
    add_process(folder / "proc", 8, "hmp-proxy", "--upstream", f"unix:{folder}/qmp", "--listen", f"unix:{folder}/l")
    write_sockets(folder / "proc", {f"{folder}/qmp": True, f"{folder}/l": True})
    (vm,) = look(None, places(folder)).vms
    assert (vm.name, vm.via.value, vm.state.value, str(vm.address)) == ("two guest", "proxy", "served", f"unix:{folder}/l")
    write_sockets(folder / "proc", {f"{folder}/qmp": True})
    (vm,) = look(None, places(folder)).vms
    assert (vm.name, vm.via.value, vm.state.value) == ("two guest", "QEMU", "busy")


def test_of_a_file_that_was_asked_for_only_its_vms_are_found(folder: Path) -> None:
    (folder / "qmp").touch()
    (folder / "x").write_text(f'[[vm]]\nname = "a"\nupstream = "unix:{folder}/qmp"\nlisten = "unix:/l"\n')
    for pid, name in ((7, "qmp"), (8, "other")):
        add_process(folder / "proc", pid, "kvm", "-qmp", f"unix:{folder}/{name},server=on")
    write_sockets(folder / "proc", {f"{folder}/qmp": True, f"{folder}/other": True})
    only: list[VMConfig] = load_vms(str(folder / "x"))
    found = look(only, places(folder))
    assert [(vm.name, vm.state.value, vm.config) for vm in found.vms] == [("a", "busy", only[0])]
    assert len(found.places) == 3


def test_file_in_a_folder_without_access_is_told(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def forbidden(path: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(Path, "exists", forbidden)
    found = look(None, places(folder))
    assert found.places[0] == f"{folder}/f (No such file or directory)"
    assert found.mistakes == ()


def test_places_are_those_of_this_machine() -> None:
    assert len(Places().configs) == 2
    assert len(Places().controls) >= 2
    assert str(Places().proc) == "/proc"

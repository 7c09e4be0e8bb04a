"""The VMs of configuration files."""

from pathlib import Path

import pytest

from host.errors import ConfigError
from repl.finding.configured import config_paths, load_vms


def names(path: Path, content: str) -> list[str]:
    path.write_text(content)
    return [vm.shown_name for vm in load_vms(str(path))]


def test_named_vms_come_in_their_order(tmp_path: Path) -> None:
    content = '[[vm]]\nname = "b"\nupstream = "unix:/b"\nlisten = "unix:/l"\n[[vm]]\ntake_over = "/a"\n'
    assert names(tmp_path / "f", content) == ["b", "unix:/a"]


def test_vms_of_discover_are_those_whose_sockets_are_there(tmp_path: Path) -> None:
    """One that has a table of its own is that VM, and of what cannot be named none is made."""
    for name in ("a", "b", "c", "d*"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "q").touch()
    own = f'[[vm]]\nname = "own"\nupstream = "unix:{tmp_path}/b/q"\nlisten = "unix:/l"\n'
    found = f'[[vm]]\ndiscover = "{tmp_path}/*/q"\nname = "vm-{{1}}"\nupstream = "unix:{{path}}"\nlisten = "unix:/l-{{1}}"\n'
    assert names(tmp_path / "f", own + found) == ["own", "vm-a", "vm-c"]


def test_mistake_is_raised(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=":2: upstream: "):
        names(tmp_path / "f", '[[vm]]\nupstream = "nonsense"\nlisten = "unix:/l"\n')


def test_files_are_those_of_the_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/x")
    assert config_paths() == [Path("/etc/hmpshim.toml"), Path("/x/hmpshim.toml")]
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setenv("HOME", "/home/me")
    assert config_paths() == [Path("/etc/hmpshim.toml"), Path("/home/me/.config/hmpshim.toml")]

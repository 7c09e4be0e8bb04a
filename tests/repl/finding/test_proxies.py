"""Proxies in a folder that looks like /proc."""

from pathlib import Path

import pytest

from host.net.addresses import TCPAddress, UnixAddress
from repl.finding.control import ServedVM
from repl.finding.proxies import running_proxies
from tests.support.process_folder import add_process

WHERE = ("--upstream", "unix:/q", "--listen", "unix:/l")


def served(tmp_path: Path, *words: str, folder: Path | None = None) -> list[ServedVM]:
    add_process(tmp_path / "proc", 7, *words, folder=folder)
    return [vm for proxy in running_proxies(tmp_path / "proc") for vm in proxy.vms]


@pytest.mark.parametrize(
    "words",
    [
        ("/usr/bin/hmp-proxy", *WHERE),
        ("/usr/bin/python3", "/usr/local/bin/hmp-proxy", *WHERE, "--audit", "/log"),
        ("python3.11", "-m", "proxy", "--upstream=unix:/q", "--listen=hold:unix:/l,mode=0660", "--overwrite", "safe"),
    ],
)
def test_proxy_is_known_by_its_command_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert served(tmp_path, *words) == [ServedVM("unix:/q", "unix:/q", (UnixAddress("/l"),), is_served=True)]


def test_path_that_is_taken_over_is_the_listener(tmp_path: Path) -> None:
    (vm,) = served(tmp_path, "hmp-proxy", "--take-over", "/q")
    assert (vm.upstream, vm.listen) == ("unix:/q", (UnixAddress("/q"),))


def test_several_listeners_but_none_that_a_prompt_cannot_use(tmp_path: Path) -> None:
    own = ("--listen", "tcp:h:5", "--listen", "stdio", "--listen", "unix:/p,pretty=on")
    (vm,) = served(tmp_path, "hmp-proxy", *WHERE, *own)
    assert vm.listen == (UnixAddress("/l"), TCPAddress("h", 5))


def test_relative_paths_begin_in_the_proxys_folder(tmp_path: Path) -> None:
    (vm,) = served(tmp_path, "hmp-proxy", "--upstream", "unix:q", "--listen", "unix:l", folder=tmp_path)
    assert (vm.upstream, vm.listen) == (f"unix:{tmp_path}/q", (UnixAddress(f"{tmp_path}/l"),))


def test_file_of_the_command_line_is_read(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[[vm]]\nname = "a"\nupstream = "unix:/q"\nlisten = "unix:/l"\n')
    (vm,) = served(tmp_path, "hmp-proxy", "--config", "c.toml", folder=tmp_path)
    assert vm == ServedVM("a", "unix:/q", (UnixAddress("/l"),), is_served=True)


@pytest.mark.parametrize(
    "words",
    [
        ("hmp-proxy", "status"),
        ("hmp-proxy", "--upstream", "nonsense", "--listen", "unix:/l"),
        ("hmp-proxy", "--config", "/none"),
        ("hmp-proxy", "--listen"),
        ("tool", "hmp-proxy", *WHERE),
        ("python3",),
        ("",),
    ],
)
def test_other_command_lines_tell_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert served(tmp_path, *words) == []

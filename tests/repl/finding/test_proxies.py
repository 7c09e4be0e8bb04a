"""Proxies in a folder that looks like /proc."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from host.net.addresses import TCPAddress, UnixAddress
from host.settings.config import VMConfig
from repl.finding import proxies, trust
from repl.finding.control import ServedVM
from repl.finding.proxies import running_proxies
from tests.support.process_folder import add_process

WHERE = ("--upstream", "unix:/q", "--listen", "unix:/l")


STRANGER = [7] * 4


def served(tmp_path: Path, *words: str, folder: Path | None = None, uids: Sequence[int] = ()) -> list[ServedVM]:
    add_process(tmp_path / "proc", 7, *words, folder=folder, uids=uids)
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
        ("hmp-proxy",),
        ("/usr/bin/proxy",),
        ("python3", "-m", "proxy"),
        ("hmp-proxy", ""),
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


def test_process_that_cannot_be_read_leaves_the_others_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = proxies._vms

    def fail_at_7(words: Sequence[str], folder: Path, user: int | None) -> Sequence[VMConfig]:
        if folder.parent.name == "7":
            raise LookupError
        return real(words, folder, user)

    monkeypatch.setattr(proxies, "_vms", fail_at_7)
    add_process(tmp_path / "proc", 8, "hmp-proxy", *WHERE)
    assert [vm.upstream for vm in served(tmp_path, "hmp-proxy", *WHERE)] == ["unix:/q"]


# -- other users' ----------------------------------------------------------------------------------------------------------


def test_strangers_proxy_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "q").touch()
    assert served(tmp_path, "hmp-proxy", f"--upstream=unix:{tmp_path}/q", "--listen=unix:/tmp/evil", uids=STRANGER) == []


def test_strangers_file_is_held_to_the_same(tmp_path: Path) -> None:
    """And its patterns are not searched for."""
    for name in ("q", "s.qmp"):
        (tmp_path / name).touch()
    content = f'[[vm]]\nname = "vm1"\nupstream = "unix:{tmp_path}/q"\nlisten = "unix:/tmp/evil"\n'
    content += f'[[vm]]\ndiscover = "{tmp_path}/*.qmp"\nupstream = "unix:{{path}}"\nlisten = "unix:{{path}}.evil"\n'
    (tmp_path / "c.toml").write_text(content)
    words = ("hmp-proxy", "--config", f"{tmp_path}/c.toml")
    assert served(tmp_path, *words, uids=STRANGER) == []
    add_process(tmp_path / "own", 8, *words)
    assert [vm.upstream for vm in running_proxies(tmp_path / "own")[0].vms] == [f"unix:{tmp_path}/q", f"unix:{tmp_path}/s.qmp"]


@pytest.mark.parametrize("upstream", ["tcp:h:1", "fd:3", "unix:q", "accept:unix:/of-7"])
def test_strangers_proxy_before_a_qemu_whose_owner_is_not_known_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: str
) -> None:
    monkeypatch.setattr(trust, "_owner", {"/of-7": 7}.get)
    assert served(tmp_path, "hmp-proxy", "--upstream", upstream, "--listen", "unix:/l", uids=STRANGER) == []


def test_strangers_proxy_counts_for_the_strangers_own_qemu_but_names_no_vm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name it would be taken for any VM that is called so."""
    monkeypatch.setattr(trust, "_owner", {"/of-7": 7, "/of-root": 0}.get)
    table = '[[vm]]\nname = "{0}"\nupstream = "unix:/{0}"\nlisten = "unix:/l/{0}"\n'
    (tmp_path / "c.toml").write_text(table.format("of-7") + table.format("of-root"))
    (vm,) = served(tmp_path, "hmp-proxy", "--config", f"{tmp_path}/c.toml", uids=STRANGER)
    assert vm == ServedVM("unix:/of-7", "unix:/of-7", (UnixAddress("/l/of-7"),), is_served=True)


def test_process_whose_user_is_not_known_does_not_count(tmp_path: Path) -> None:
    assert served(tmp_path, "hmp-proxy", *WHERE, uids=[7, 0, 0, 0]) == []


# -- the file that a process names -----------------------------------------------------------------------------------------

TABLE = '[[vm]]\nname = "a"\nupstream = "unix:/q"\nlisten = "unix:/l"\n'


def test_relative_file_in_a_folder_that_is_not_known_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.toml").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    assert served(tmp_path, "hmp-proxy", "--config", "c.toml") == []


def test_fifo_is_neither_read_nor_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert served(tmp_path, "hmp-proxy", "--config", f"{tmp_path}/fifo") == []


def test_standard_input_of_another_process_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, TABLE.encode())
    os.close(write_end)
    kept = os.dup(0)
    try:
        os.dup2(read_end, 0)
        assert served(tmp_path, "hmp-proxy", "--config", "/dev/stdin") == []
        assert os.read(0, 1 << 16) == TABLE.encode()
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(read_end)


def test_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(TABLE)
    os.truncate(tmp_path / "c.toml", 1 << 40)
    assert served(tmp_path, "hmp-proxy", "--config", f"{tmp_path}/c.toml") == []

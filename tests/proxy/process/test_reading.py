"""The files are read as a whole before anything is done."""

import builtins
import sys
from pathlib import Path
from typing import Any

import pytest

from host.net.addresses import TCPAddress, UnixAddress
from host.settings.config import VMConfig
from host.settings.listener import Terms, TLSClients
from proxy.process.reading import read_certificates, read_file, wish_of
from tests.support.proxy.certificates import Authority

NET = TCPAddress("127.0.0.1", 4444)
TABLE = '[[vm]]\ndiscover = "/v/*/q"\nupstream = "unix:{path}"\nlisten = "unix:/v/{1}/l"\n'


def test_certificates_are_made_for_those_who_have_some(tmp_path: Path) -> None:
    own = Authority(tmp_path).issue("own")
    terms = Terms(tls_certificate=own.certificate, tls_key=own.key, tls_clients=TLSClients.ANY)
    good = VMConfig(UnixAddress("/a"), (NET,), terms=terms)
    wrong = VMConfig(UnixAddress("/b"), (NET,), terms=Terms(tls_certificate="/none", tls_clients=TLSClients.ANY))
    wish = wish_of([good, wrong, VMConfig(UnixAddress("/c"))], {}, forgives=False)
    assert list(wish.contexts) == ["unix:/a"]
    assert list(wish.problems) == ["unix:/b"]
    again = read_certificates(wish.vms)
    assert (list(again.contexts), list(again.problems)) == (["unix:/a"], ["unix:/b"])
    assert again.vms is wish.vms


def test_file_has_vms_and_templates(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_text('[[vm]]\nupstream = "unix:/q"\nlisten = "unix:/l"\n')
    assert [len(read_file(str(path)).vms), len(read_file(str(path)).templates)] == [1, 0]
    path.write_text(TABLE)
    assert [len(read_file(str(path)).vms), len(read_file(str(path)).templates)] == [0, 1]


@pytest.mark.parametrize("name", ["proxy.discovery.discovery", "proxy.discovery.inotify"])
def test_installation_that_has_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Without what finds VMs the file is refused; without inotify they are found later."""
    original = builtins.__import__

    def fail(module: str, *arguments: Any, **members: Any) -> Any:
        if module == name:
            raise ImportError(f"no {module}")
        return original(module, *arguments, **members)

    path = tmp_path / "c"
    path.write_text(TABLE)
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(builtins, "__import__", fail)
    file = read_file(str(path))
    if name.endswith("inotify"):
        assert len(file.templates) == 1
    else:
        (mistake,) = file.mistakes
        assert "cannot look for VMs, as files of hmpshim have gone: no proxy.discovery.discovery" in str(mistake)

"""The [defaults] of a configuration file, for a VM of which it says nothing else."""

from pathlib import Path

import pytest

from host.configuration.config_file import load_defaults
from host.errors import ConfigError
from host.net.addresses import DescriptorAddress
from host.settings.config import Origin, VMConfig
from host.settings.listener import ErrorStyle
from shim.graph.policy import PolicyKind
from tests.support.proxy.config_files import VM1, path

__all__ = ["path"]

UPSTREAM = DescriptorAddress(7)


def load(path: Path, text: str) -> VMConfig:
    path.write_text(text)
    return load_defaults(str(path), UPSTREAM)


@pytest.mark.parametrize("text", ["", "[defaults]\n", VM1])
def test_nothing_is_said(path: Path, text: str) -> None:
    assert load(path, text) == VMConfig(UPSTREAM, origin=Origin(str(path), 0))


def test_what_holds_for_every_vm_holds_for_this_one(path: Path) -> None:
    config = load(path, '[defaults]\npolicy = "hmp"\nerrors = "qmp"\naudit = "/log"\nmax_clients = 3\n' + VM1)
    assert (config.upstream, config.listen) == (UPSTREAM, ())
    assert config.policy.kind is PolicyKind.HMP
    assert config.terms_at("unix:anything").errors is ErrorStyle.QMP
    assert config.audit is not None
    assert config.audit.destination == "/log"
    assert config.max_clients == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[defaults]\nupstream = "unix:/q"\n', ":2: upstream: it belongs to a single VM; write it into a [[vm]] table"),
        ('[defaults]\nlisten = "unix:/l"\n', ":2: listen: it belongs to a single VM; write it into a [[vm]] table"),
        ("[defaults]\npolicy = 1\n", ":2: policy: "),
        ('[defaults]\npolicy = "hmp"\nexclude = "a"\n', ":3: exclude: policy "),
        ("other = 1\n", ":1: other: unknown; there are [defaults] and [[vm]]"),
        ("defaults = 1\n", ":1: defaults: write it as a table: [defaults]"),
        ("[defaults\n", ":1: invalid TOML: "),
    ],
)
def test_mistakes(path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(path, text)
    assert str(caught.value).startswith(f"{path}{told}")


def test_mistake_in_a_table_of_another_vm_is_not_looked_for(path: Path) -> None:
    assert load(path, '[[vm]]\nnonesuch = 1\n[defaults]\npolicy = "hmp"\n').policy.kind is PolicyKind.HMP


def test_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"^/none/file: No such file or directory$"):
        load_defaults("/none/file", UPSTREAM)

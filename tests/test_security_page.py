"""The page about security: what it promises has a test, its sample of a configuration is one, and it explains the unit."""

import configparser
import re
from pathlib import Path
from typing import Final

from host.configuration.config_file import load_config_file
from host.errors import ConfigError
from tests.support.checkout import ROOT

_PAGE: Final = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
_UNIT: Final = ROOT / "proxy" / "units" / "system" / "hmp-proxy.service"
_TEST_FILE: Final = r"`tests/[\w/]+\.py`"


def _unit() -> configparser.ConfigParser:
    # A directive may be repeated.
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(_UNIT.read_text(encoding="utf-8"))
    return unit


def _rows(header: str) -> list[str]:
    return re.findall(r"(?m)^\| .*$", _PAGE.partition(f"{header}\n")[2].partition("\n\n")[0])


def test_each_promise_names_tests() -> None:
    promises = _rows("| promise | tests |")
    assert len(promises) > 5
    assert all(re.search(_TEST_FILE, promise) for promise in promises)


def test_each_surface_names_tests() -> None:
    surfaces = _rows("| surface | what holds | tests |")
    assert len(surfaces) > 5
    assert all(re.search(_TEST_FILE, surface) or surface.endswith("| as above |") for surface in surfaces)


def test_tests_that_the_page_names_exist() -> None:
    """In its tables or between them."""
    named = set(re.findall(r"tests/[\w/.-]*\w", _PAGE))
    assert len(named) > 30
    for path in sorted(named):
        assert path.endswith(".py"), path
        assert "def test_" in (ROOT / path).read_text(encoding="utf-8"), path


def test_limits_on_memory_are_those_of_the_test() -> None:
    text = (ROOT / "tests/integration/wire/test_governed.py").read_text(encoding="utf-8")
    assert re.findall(r"peak_mib < (\d+)", text) == re.findall(r"the test allows (\d+) MiB", _PAGE)


def test_sample_configuration_is_read(tmp_path: Path) -> None:
    (sample,) = re.findall(r"```toml\n(.*?)```", _PAGE, re.DOTALL)
    config = tmp_path / "hmpshim.toml"
    # The groups of the sample are not on every machine.
    config.write_text(re.sub(r'"(backup|monitor)"', '"root"', sample))
    (vm,) = load_config_file(str(config))
    assert len(vm.listen) == 2


def test_directives_that_the_page_explains_are_in_the_unit() -> None:
    cells = [row.split("|")[1] for row in _rows("| directive | what it breaks |")]
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert "SystemCallFilter" in named
    assert named <= set(_unit()["Service"])


def test_drop_in_has_the_groups_that_the_sample_configuration_needs() -> None:
    (sample,) = re.findall(r"```toml\n(.*?)```", _PAGE, re.DOTALL)
    needed = set(re.findall(r'group = "(\w+)"', sample))
    assert needed
    (drop_in,) = re.findall(r"(?m)^    SupplementaryGroups=(.*)$", _PAGE)
    assert needed == set(drop_in.split())


def test_unit_goes_on_trying_unless_the_configuration_is_wrong() -> None:
    """Only the main process's status counts: that of ExecStartPre= would have it go on for ever (systemd.service(5))."""
    service = _unit()["Service"]
    assert service["ExecStartPre"].startswith("-")
    # By default systemd gives up after 5 starts in 10 s (systemd.unit(5), StartLimitIntervalSec=).
    assert int(service["ExecStopPost"].partition("sleep ")[2].rstrip("'")) * 5 > 10
    assert int(service["RestartPreventExitStatus"]) == ConfigError.exit_status


def test_folders_of_the_unit_that_hold_secrets_are_its_own() -> None:
    assert {_unit()["Service"][name] for name in ("StateDirectoryMode", "LogsDirectoryMode")} == {"0700"}

"""`hmp-proxy --check`: all mistakes of a configuration at once."""

from pathlib import Path

import pytest

from proxy.command_line.invocations import CheckInvocation
from proxy.command_line.subcommands import parse_command_line
from proxy.commands.check import find_mistakes, summary
from tests.support.proxy.config_files import EXAMPLE, VM1, path
from tests.support.proxy_command import run_proxy

__all__ = ["path"]


def check(path: Path, text: str) -> CheckInvocation:
    path.write_text(text)
    invocation = parse_command_line(["--check", "--config", str(path)])
    assert isinstance(invocation, CheckInvocation)
    return invocation


def mistakes(path: Path, text: str) -> list[str]:
    return [str(mistake).replace(str(path), "F") for mistake in find_mistakes(check(path, text))]


WRONG = """\
[defaults]
polcy = "auto"
vmstate = 5
[[vm]]
upstream = "unix:/q"
listen = "unix:/l"
mode = "enforced"
[[vm]]
upstream = "nowhere"
listen = "unix:/l"
rules = [{ allow = "stop" }, { permit = "stop" }]
"""


def test_every_mistake_has_its_line_and_key(path: Path) -> None:
    found = mistakes(path, WRONG)
    assert [mistake.split(": ")[:2] for mistake in found] == [
        ["F:2", "polcy"],
        ["F:3", "vmstate"],
        ["F:7", "mode"],
        ["F:9", "upstream"],
        ["F:11", "rules"],
    ]


def test_what_only_follows_from_a_mistake_is_not_told(path: Path) -> None:
    """Neither that a wrong address is missing, nor that a VM has what one has that cannot be read."""
    assert len(mistakes(path, f"{VM1}polcy = 'x'\n{VM1}upstream = 5\n".replace("unix:/q", "unix:/q", 1))) == 1
    assert len(mistakes(path, f"[[vm]]\nupstream = 5\nlisten = 'unix:/l'\n{VM1}")) == 1


def test_contradictions_of_all_kinds_are_told(path: Path) -> None:
    text = f"{VM1}allow = ['info block']\ntls_certificate = '/c'\n" + VM1.replace("/l", "/m")
    found = mistakes(path, text)
    assert [mistake.split(": ")[1] for mistake in found] == ["allow", "tls_certificate"]


def test_certificate_that_cannot_be_used_stands_at_its_key(path: Path) -> None:
    text = f'{VM1}[[vm]]\nupstream = "unix:/q2"\nlisten = "tcp:[::1]:0"\ntls_certificate = "/none"\ntls_clients = "any"\n'
    expected = ["F:7: tls_certificate: cannot use TLS with /none: No such file or directory"]
    assert mistakes(path, text) == expected


def test_file_that_cannot_be_read_is_one_mistake(path: Path) -> None:
    invocation = parse_command_line(["--check", "--config", str(path)])
    assert isinstance(invocation, CheckInvocation)
    assert [str(mistake) for mistake in find_mistakes(invocation)] == [f"{path}: No such file or directory"]


def test_right_configuration_is_summed_up(path: Path) -> None:
    assert summary(check(path, VM1)) == f"{path}: 1 VM, no mistakes"
    two = VM1 + VM1.replace("/q", "/q2").replace("/l", "/l2")
    assert summary(check(path, two)) == f"{path}: 2 VMs, no mistakes"
    assert mistakes(path, EXAMPLE + VM1) == []


def test_program_tells_all_and_ends(path: Path) -> None:
    path.write_text(WRONG)
    done = run_proxy("--check", "--config", str(path))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 5)
    path.write_text(VM1)
    done = run_proxy("--check", "--config", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: 1 VM, no mistakes\n", "")


@pytest.mark.parametrize(("certificate", "status"), [("/none", 2), (None, 0)])
def test_options_are_checked_too(certificate: str | None, status: int) -> None:
    tls = [] if certificate is None else ["--tls-certificate", certificate, "--tls-clients", "any"]
    done = run_proxy("--check", "--upstream", "unix:/q", "--listen", "tcp:127.0.0.1:0", *tls)
    assert done.returncode == status
    if status:
        assert done.stderr == "hmp-proxy: cannot use TLS with /none: No such file or directory (setting tls_certificate)\n"
    else:
        assert done.stdout == "command line: 1 VM, no mistakes\n"

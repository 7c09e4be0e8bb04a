"""The command line of `hmp-proxy plan`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from host.net.addresses import UnixAddress
from host.settings.config import Origin, VMConfig
from proxy.command_line import plan
from proxy.command_line.invocations import PlanInvocation
from shim.graph.policy import Policy, PolicyKind
from tests.support.proxy.command_lines import complaint

QEMU: Final = UnixAddress("/q")
TOOLS: Final = UnixAddress("/l")
WIRE: Final = ("--upstream", "unix:/q", "--listen", "unix:/l")


def planned(*arguments: str) -> PlanInvocation:
    return plan.parse(arguments)


def test_plan() -> None:
    assert planned("--upstream", "unix:/q", "savevm", "t1") == PlanInvocation(VMConfig(QEMU), "savevm t1", False)
    assert planned("--upstream", "unix:/q", "--json", 'savevm "a b"').command_line == 'savevm "a b"'
    assert planned("--upstream", "accept:unix:/q", "info", "snapshots", "--json").as_json


@pytest.mark.parametrize(("options", "name"), [(("--vm", "vm1"), "vm1"), (("--vm", "unix:/q2"), None)])
def test_plan_for_a_vm_of_a_file(path: str, options: Sequence[str], name: str | None) -> None:
    """One without a name goes by where it is."""
    vm = planned("--config", path, *options, "savevm").vm
    assert vm.name == name
    assert vm.origin == Origin(path, 0 if name else 1)


def test_plan_for_the_only_vm_of_a_file(path: str) -> None:
    file = Path(path)
    file.write_text(file.read_text().partition("[[vm]]\nup")[0])
    vm = planned("--config", path, "savevm").vm
    assert (vm.name, vm.policy.kind) == ("vm1", PolicyKind.HMP)


def test_plan_with_the_policy_of_a_file_on_another_socket(path: str) -> None:
    """The VM's own is held by the proxy that runs."""
    vm = planned("--config", path, "--vm", "vm1", "--upstream", "unix:/l1", "savevm").vm
    assert vm == VMConfig(UnixAddress("/l1"), policy=Policy(PolicyKind.HMP))


# -- wrong use: one line, status 2 ----------------------------------------------------------------------------------------

LISTEN: Final = "write unix:PATH, tcp:HOST:PORT, fd:NUMBER, stdio or systemd"
UPSTREAM: Final = "write unix:PATH, tcp:HOST:PORT, fd:NUMBER or accept:unix:PATH"
WHERE: Final = "say where QEMU is and where the tools connect: --upstream or --attach and --listen, --take-over, or --config"
LEFT_TO_HMP: Final = 'policy "hmp" leaves the choice to HMP\'s rule; drop this, or use policy "auto"'
NOWHERE: Final = "it needs audit, which says where the log is"
NO_PLACE: Final = "write a file, - for standard output, syslog: or syslog:/path/of/socket"
AUDIT_OPTIONS: Final = (
    *("--audit-sync", "--audit-failure refuse", "--audit-redact tags", "--audit-key /key", "--audit-rotate-mib 1"),
    *("--audit-rotate-hours 1", "--audit-keep 1"),
)
INTO_THE_FILE: Final = "cannot be used with --config; write it into the file"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("savevm", "say where QEMU is: --upstream, or --config FILE"),
        ("--upstream unix:/q", "the following arguments are required: COMMAND"),
        ("--upstream unix:/q --listen unix:/l savevm", "unrecognized arguments: --listen"),
        ("--upstream unix:/q --mode observe savevm", "unrecognized arguments: --mode"),
        ("--upstream unix:/q --vm vm1 savevm", "--vm needs --config FILE"),
        ("--upstream /q savevm", f"argument --upstream: invalid address '/q': {UPSTREAM}"),
        ("--config FILE savevm", "say which VM: --vm with one of vm1, unix:/q2"),
        ("--config FILE --vm nosuch savevm", "say which VM: --vm with one of vm1, unix:/q2"),
        ("--config FILE --vm vm1 --policy hmp savevm", f"--policy {INTO_THE_FILE}"),
        ("--config FILE --vm vm1 --vmstate a savevm", f"--vmstate {INTO_THE_FILE}"),
        ("--config FILE --vm vm1 --no-guard savevm", f"--no-guard {INTO_THE_FILE}"),
    ],
)
def test_wrong_use_of_the_plan(capsys: pytest.CaptureFixture[str], path: str, arguments: str, error: str) -> None:
    found = complaint(capsys, ["plan", *arguments.replace("FILE", path).split()])
    assert found == f"hmp-proxy plan: {error} (see hmp-proxy plan --help)\n"

"""What a command line of `hmp-proxy` can ask for."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from host.config import VMConfig
from host.errors import ConfigError

if TYPE_CHECKING:  # a start is quicker without it
    from host.discover import Template

__all__ = [
    "CheckInvocation",
    "InstallUnitsInvocation",
    "Invocation",
    "PlanInvocation",
    "ServeInvocation",
    "StatusInvocation",
]


# What a command line asks for is a value, and nothing has been opened or connected when it is made: so every mistake in it
# costs exit status 2 and nothing else.
@dataclass(frozen=True, slots=True)
class ServeInvocation:
    """`hmp-proxy`. config_path: None if the VM was described by options. logs_json: a line of the log is a JSON object.
    control_path: of the control socket. templates: of VMs that come by themselves.
    """

    vms: tuple[VMConfig, ...]
    config_path: str | None
    verbose: bool
    logs_json: bool = False
    control_path: str | None = None
    templates: tuple["Template", ...] = ()


@dataclass(frozen=True, slots=True)
class CheckInvocation:
    """`hmp-proxy --check`. vms: those that could be read. mistakes: in the file. config_path: None for options.
    patterns: how many there are by which VMs are found.
    """

    vms: tuple[VMConfig, ...]
    mistakes: tuple[ConfigError, ...]
    config_path: str | None
    patterns: int = 0


@dataclass(frozen=True, slots=True)
class StatusInvocation:
    """`hmp-proxy status`. control_path: None for the default one. vm: None for all."""

    control_path: str | None
    vm: str | None
    as_json: bool


@dataclass(frozen=True, slots=True)
class PlanInvocation:
    """`hmp-proxy plan`.

    given_by: what says which policy to plan with, in words; None leaves it to the proxy that may be there.
    """

    vm: VMConfig
    command_line: str
    as_json: bool
    given_by: str | None = None


@dataclass(frozen=True, slots=True)
class InstallUnitsInvocation:
    """`hmp-proxy install-units`. is_forced: what was changed there is replaced. only_prints: nothing is written."""

    is_for_user: bool
    is_forced: bool
    only_prints: bool


Invocation: TypeAlias = ServeInvocation | CheckInvocation | StatusInvocation | PlanInvocation | InstallUnitsInvocation

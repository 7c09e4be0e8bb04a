"""What a command line of `hmp-proxy` can ask for."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from host.errors import ConfigError
from host.net.addresses import UnixAddress
from host.settings.config import VMConfig

if TYPE_CHECKING:  # a start is quicker without them
    from host.configuration.discover import Template
    from proxy.control.server import Place

__all__ = [
    "AskInvocation",
    "CheckInvocation",
    "InstallUnitsInvocation",
    "Invocation",
    "PlanInvocation",
    "Question",
    "ServeInvocation",
]


# What a command line asks for is a value, and making it neither opens nor connects anything: so every mistake in the command
# line costs exit status 2 and nothing else.
@dataclass(frozen=True, slots=True)
class ServeInvocation:
    """`hmp-proxy`. config_path: None if the VM was described by options. logs_json: each line of the log is a JSON object.
    control, admin, metrics: the sockets for questions, for orders, and for Prometheus. templates: for VMs that are discovered.
    replaceable_path: where this process waits for one that takes over. replace_path: where the process waits that this one
    takes over from."""

    vms: tuple[VMConfig, ...]
    config_path: str | None
    verbose: bool
    logs_json: bool = False
    control: "Place | None" = None
    admin: "Place | None" = None
    metrics: "Place | None" = None
    templates: tuple["Template", ...] = field(default=(), kw_only=True)
    replaceable_path: str | None = field(default=None, kw_only=True)
    replace_path: str | None = field(default=None, kw_only=True)

    @property
    def forgives(self) -> bool:
        """Whether a VM that cannot be served is retried, and its QEMU waited for; see Daemon."""
        is_strict = len(self.vms) == 1 and self.vms[0].is_strict and not self.templates
        return self.config_path is not None and not is_strict

    @property
    def own_paths(self) -> list[str]:
        """The paths of the process's own sockets, which belong to no VM."""
        addresses = [place.address for place in (self.control, self.admin, self.metrics) if place is not None]
        paths = [address.path for address in addresses if isinstance(address, UnixAddress)]
        return [*paths, *([] if self.replaceable_path is None else [self.replaceable_path])]


@dataclass(frozen=True, slots=True)
class CheckInvocation:
    """`hmp-proxy --check`. vms: those that could be read. mistakes: in the file. config_path: None for options. patterns: how
    many `discover` patterns there are."""

    vms: tuple[VMConfig, ...]
    mistakes: tuple[ConfigError, ...]
    config_path: str | None
    patterns: int = 0


class Question(StrEnum):
    """The subcommands that ask a running proxy, or give it orders."""

    STATUS = "status"
    CLIENTS = "clients"
    METRICS = "metrics"
    DISCONNECT = "disconnect"
    PAUSE = "pause"
    RESUME = "resume"
    RELOAD = "reload"
    UPGRADE = "upgrade"

    @property
    def acts(self) -> bool:
        """Whether it changes something, which only the --admin socket does."""
        return self not in (Question.STATUS, Question.CLIENTS, Question.METRICS)


@dataclass(frozen=True, slots=True)
class AskInvocation:
    """`hmp-proxy status` and its like. path: of the socket, None for the default one. vm: None for all.

    as_json: for status and clients. watches: repeat status. client: whom to disconnect. for_s, no_wait: for a pause.
    end_others: for an upgrade, end the VMs that cannot be handed over.
    """

    question: Question
    path: str | None = None
    vm: str | None = None
    as_json: bool = False
    watches: bool = False
    client: str | None = None
    for_s: float | None = None
    no_wait: bool = False
    end_others: bool = False


@dataclass(frozen=True, slots=True)
class PlanInvocation:
    """`hmp-proxy plan`.

    given_by: where the policy to plan with comes from, in words; None leaves the policy to the proxy, if there is one.
    """

    vm: VMConfig
    command_line: str
    as_json: bool
    given_by: str | None = None


@dataclass(frozen=True, slots=True)
class InstallUnitsInvocation:
    """`hmp-proxy install-units`. is_forced: replace changed units, too. only_prints: write nothing."""

    is_for_user: bool
    is_forced: bool
    only_prints: bool


Invocation: TypeAlias = ServeInvocation | CheckInvocation | AskInvocation | PlanInvocation | InstallUnitsInvocation

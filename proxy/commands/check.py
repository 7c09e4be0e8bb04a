"""`hmp-proxy --check`: report all mistakes in a configuration without serving anybody."""

from collections.abc import Iterator

from host.errors import ConfigError, ProgramError, TLSError
from host.settings.config import VMConfig
from proxy.command_line.invocations import CheckInvocation
from proxy.net.certificates import load

__all__ = ["find_mistakes", "summary"]


def find_mistakes(invocation: CheckInvocation) -> list[ProgramError]:
    """Return all mistakes, those in a file in the order of its lines."""
    found = [*invocation.mistakes, *(mistake for vm in invocation.vms for mistake in _of_certificates(vm))]
    return sorted(found, key=lambda mistake: mistake.line if isinstance(mistake, ConfigError) else 0)


def summary(invocation: CheckInvocation) -> str:
    """Return the text for a configuration without mistakes: how many VMs it has."""
    count = len(invocation.vms)
    found = f", {patterns} pattern{'s' * (patterns != 1)} to find VMs" if (patterns := invocation.patterns) else ""
    return f"{invocation.config_path or 'command line'}: {count} VM{'s' * (count != 1)}{found}, no mistakes"


def _of_certificates(vm: VMConfig) -> Iterator[ProgramError]:
    try:
        load(vm)
    except TLSError as exc:
        if vm.origin is None:
            yield exc
            return
        from host.configuration.config_file import error_at  # here, because it loads TOML, as a file does

        yield error_at(vm.origin, exc.setting, f"cannot use TLS with {exc.subject}: {exc.reason}")

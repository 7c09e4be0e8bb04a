"""The VMs of configuration files: those that they name, and those of `discover` whose sockets exist now."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from host.configuration.config_file import ConfigFile, read_config_file
from host.errors import ConfigError
from host.settings.config import VMConfig

__all__ = ["config_paths", "load_vms", "vms_of"]


def config_paths() -> list[Path]:
    """Return the configuration files of the units of `hmp-proxy install-units`: the system's, and this user's."""
    own = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return [Path(folder, "hmpshim.toml") for folder in ("/etc", own)]


def load_vms(path: str) -> list[VMConfig]:
    """Read the VMs of a configuration file. Raises ConfigError for the first mistake in it."""
    content = read_config_file(path)
    if content.mistakes:
        raise content.mistakes[0]
    return vms_of(content)


def vms_of(content: ConfigFile) -> list[VMConfig]:
    """Return the VMs of a file, without those that have a mistake."""
    named = list(content.vms)
    own = {str(vm.upstream) for vm in named}
    return named + [vm for vm in _discovered(content) if str(vm.upstream) not in own]


def _discovered(content: ConfigFile) -> Iterator[VMConfig]:
    for template in content.templates:
        for path in sorted(glob.glob(template.pattern.text)):
            try:
                yield template.vm_at(path)
            except (ValueError, ConfigError):
                continue  # the proxy does not serve such a socket either

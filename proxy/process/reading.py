"""The configuration file and the TLS files, read while VMs are served.

The result is complete: it has been checked and compared with what was wanted before, and needs no file any more. So the event
loop has little left to do for a VM that has changed, and nothing for one that has not.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from host.errors import ConfigError, TLSError
from host.settings.config import VMConfig
from host.settings.listener import Terms
from proxy.fleet.wish import Wish
from proxy.net.certificates import Contexts, load

if TYPE_CHECKING:
    import ssl

    from host.configuration.config_file import ConfigFile

__all__ = ["read_certificates", "read_file", "wish_of"]


def read_file(path: str) -> "ConfigFile":
    """Read a file, and import what its settings need."""
    from host.configuration.config_file import (  # here, because without a file no TOML is read
        ConfigFile,
        read_config_file,
    )

    file = read_config_file(path)
    if not file.templates:
        return file
    try:
        import proxy.discovery.discovery
    except ImportError as exc:
        reason = f"cannot look for VMs, as files of hmpshim have gone: {exc}; restart the proxy"
        return ConfigFile(mistakes=(ConfigError(path, 0, "discover", reason),))
    with suppress(ImportError):  # without it, sockets are looked for more often
        import proxy.discovery.inotify  # noqa: F401
    return file


def read_certificates(vms: Mapping[str, VMConfig]) -> Wish:
    """Read only the TLS files, of the VMs that are wanted already."""
    contexts, problems = _certificates(vms)
    return Wish(vms, contexts, problems, is_of_file=False)


def wish_of(vms: Iterable[VMConfig], before: Mapping[str, VMConfig], *, forgives: bool) -> Wish:
    """Return the wish of a fleet that is to have these VMs; see by_key()."""
    wish = Wish.of(vms, before, forgives=forgives)
    contexts, problems = _certificates(wish.vms)
    return replace(wish, contexts=contexts, problems=problems)


def _certificates(vms: Mapping[str, VMConfig]) -> tuple[dict[str, Contexts], dict[str, TLSError]]:
    contexts: dict[str, Contexts] = {}
    problems: dict[str, TLSError] = {}
    known: dict[Terms, ssl.SSLContext] = {}
    for key, vm in vms.items():
        try:
            loaded = load(vm, known)
        except TLSError as exc:
            problems[key] = exc
        else:
            if loaded:
                contexts[key] = loaded
    return contexts, problems

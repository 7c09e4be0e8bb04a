"""The configuration file and the files of TLS, read while VMs are served.

What is returned is complete: it has been checked, compared with what was wanted before, and needs no file any more. So what the
event loop has left to do with it is little for a VM that has changed, and nothing for one that has not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from host.config import VMConfig
from host.errors import ConfigError, ProgramError, TLSError
from host.listener import Terms
from proxy.fleet.wish import Wish, by_key
from proxy.net.certificates import Contexts, load

if TYPE_CHECKING:
    import ssl

__all__ = ["Reading", "read", "read_certificates", "wish_of"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read. wish: None if there are mistakes."""

    wish: Wish | None
    mistakes: tuple[ProgramError, ...] = ()


def read(path: str, before: Mapping[str, VMConfig], *, forgives: bool) -> Reading:
    """Read a file. before, forgives: see by_key()."""
    try:
        from host.config_file import check_config_file  # it is there already, unless the first file was given later
    except ImportError as exc:
        return Reading(None, (ConfigError(path, 0, "", f"hmpshim is not there any more, or not whole: {exc}"),))
    vms, mistakes = check_config_file(path)
    if mistakes:
        return Reading(None, tuple(mistakes))
    return Reading(wish_of(vms, before, forgives=forgives))


def read_certificates(vms: Mapping[str, VMConfig]) -> Wish:
    """Read only the files of TLS, of VMs that are wanted anyway."""
    return Wish(vms, *_certificates(vms), is_of_file=False)


def wish_of(vms: Iterable[VMConfig], before: Mapping[str, VMConfig], *, forgives: bool) -> Wish:
    """Return what is wanted of a fleet that shall have these VMs; see by_key()."""
    keyed = by_key(vms, before, forgives=forgives)
    return Wish(keyed, *_certificates(keyed))


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

"""What a contradiction between settings is. Which there are is in contradictions.py and access_contradictions.py."""

from collections.abc import Container
from dataclasses import dataclass

from host.net.addresses import Address, plain
from host.settings.config import VMConfig

__all__ = ["Contradiction", "key_of_listener"]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Settings that exclude each other, or one that lacks another.

    key: the setting that is reported. reason: what would be right. others: the keys of the others that take part; if one of
    these is wrong, this may be only a consequence of that. at: the index in the list under `key`, from 0; None for all of it.
    """

    key: str
    reason: str
    others: tuple[str, ...] = ()
    at: int | None = None

    def depends_on(self, keys: Container[str]) -> bool:
        """Return whether one of these keys takes part."""
        return any(key in keys for key in (self.key, *self.others))


def key_of_listener(vm: VMConfig, address: Address) -> tuple[str, int | None]:
    """Return the key under which a listener is, and its index in that list; None for the one that take_over makes."""
    for key, listeners in (("listen", vm.listen), ("hmp_listen", vm.hmp_listen)):
        for at, one in enumerate(map(plain, listeners)):
            if one == plain(address):
                return key, at
    return "take_over", None

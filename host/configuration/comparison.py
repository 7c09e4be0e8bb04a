"""The VMs of one file, compared with each other: what two of them cannot both have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from host.configuration.contradiction import Contradiction
from host.configuration.contradictions import audit_disagreements
from host.net.addresses import plain
from host.settings.config import VMConfig

__all__ = ["FoundVM", "disagreements", "had_twice"]

_EACH = "each needs one of its own"


@dataclass(frozen=True, slots=True)
class FoundVM:
    """A VM as far as its table in the file is right. wrong: the keys that are not; `vm` has defaults or anything for them."""

    vm: VMConfig
    wrong: frozenset[str]


def had_twice(found: Sequence[FoundVM]) -> Iterator[tuple[FoundVM, Contradiction]]:
    """Yield the addresses and names that occur twice, each with the VM that comes later. Wrong values count as none."""
    seen: dict[tuple[str, str], tuple[FoundVM, str, int | None]] = {}
    for one in found:
        for kind, text, key, at in _marks(one.vm):
            if key in one.wrong:
                continue
            if earlier := seen.get((kind, text)):
                whose = "it is named here twice" if earlier[0] is one else f"an earlier VM has {text!r} too"
                yield one, Contradiction(key, f"{whose}; {_EACH}", at=at)
            seen[kind, text] = one, key, at
    named = [(text, place) for (kind, text), place in seen.items() if kind == "listen" and text.startswith("systemd:")]
    if ("listen", "systemd") in seen and named:
        text, (one, key, at) = named[-1]
        yield one, Contradiction(key, f"'systemd' takes all sockets, {text!r} included; give each VM systemd:NAME", at=at)


def _marks(vm: VMConfig) -> Iterator[tuple[str, str, str, int | None]]:
    """Yield what only one VM can have: its kind, a text to compare, the key, and the index in the list under the key."""
    yield "upstream", str(vm.upstream), _key_of_upstream(vm), None
    for key, listeners in (("listen", vm.listen), ("hmp_listen", vm.hmp_listen)):
        for at, address in enumerate(listeners):
            yield "listen", str(plain(address)), key, at
    if vm.name:
        yield "name", vm.name, "name", None


def _key_of_upstream(vm: VMConfig) -> str:
    """Return the key that says where QEMU is."""
    if vm.take_over is not None:
        return "take_over"
    return "upstream" if vm.attach is None else "attach"


def disagreements(found: Sequence[FoundVM]) -> Iterator[tuple[FoundVM, Contradiction]]:
    """Yield the audit settings in which two VMs disagree, each with the VM whose setting is reported."""
    for number, other, problem in audit_disagreements([one.vm for one in found]):
        if not problem.depends_on(found[number].wrong | found[other].wrong):
            yield found[number], problem

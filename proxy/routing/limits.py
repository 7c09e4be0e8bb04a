"""How much one client may want of the proxy: the limits that its connection is held to. The settings are the operator's."""

from dataclasses import dataclass, field

from proxy.qmp_json.limits import Limits

__all__ = ["ClientLimits"]


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """value: what one command may be made of. commands: so many may be under way, with the answers of ours among them."""

    value: Limits = field(default_factory=Limits)
    commands: int = 1000

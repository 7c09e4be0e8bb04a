"""How much one client may want at a time. The settings are the operator's (host/settings/config.py)."""

from dataclasses import dataclass, field

from proxy.qmp_json.limits import Limits

__all__ = ["SessionLimits"]


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """value: what one command may be made of. commands: so many may be under way, with the answers of ours among them."""

    value: Limits = field(default_factory=Limits)
    commands: int = 1000

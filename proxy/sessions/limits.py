"""How much one client may want at a time. The settings are the operator's (host/settings/config.py)."""

from dataclasses import dataclass, field

from proxy.qmp_json.limits import Limits

__all__ = ["SessionLimits"]


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """value: how long and how nested one command may be. commands: how many may be under way, answers of ours included."""

    value: Limits = field(default_factory=Limits)
    commands: int = 1000

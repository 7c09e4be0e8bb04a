"""Audit logs of any length, made from real records: the same shapes with other times, tools, VMs, tags and pauses."""

import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from shim.records.audit_form import spell, spell_time

__all__ = ["generate"]

_BEGIN: Final = datetime(2026, 9, 1, tzinfo=UTC)
_DAYS: Final = 60
_HOSTS: Final = 3
_VMS: Final = 50
_TOOLS: Final = 20


def generate(templates: Sequence[dict[str, Any]], count: int, seed: int) -> Iterator[str]:
    """Yield `count` lines, in order of time. The same arguments produce the same lines."""
    chance = random.Random(seed)
    spelled = [json.dumps(template) for template in templates]
    step = timedelta(days=_DAYS) / count
    for number in range(count):
        # Decoded each time, because a deep copy takes longer.
        record = json.loads(chance.choice(spelled))
        _vary(record, chance)
        record["time"] = spell_time(_BEGIN + step * number)
        yield f"{spell(record)}\n"


def _vary(record: dict[str, Any], chance: random.Random) -> None:
    record["host"] = f"host{chance.randrange(_HOSTS)}"
    record["vm"] = f"vm{chance.randrange(_VMS)}"
    record["client"]["pid"] = chance.randrange(300, 1 << 22)
    if record["client"]["exe"] is not None:
        tool = chance.randrange(_TOOLS)
        record["client"] |= {
            "exe": f"/usr/bin/tool{tool}",
            "tool": f"tool{tool}",
            "argv": [f"tool{tool}", "--vm", record["vm"]],
        }
    if record["command_line"] in ("savevm t1", "loadvm t1", "delvm t1"):
        record["command_line"] = f"{record['hmp_command']} t{chance.randrange(1 << 20)}"
    if record["stopped_ms"]:
        record["stopped_ms"] = round(record["stopped_ms"] * chance.uniform(0.5, 20), 3)
    record["duration_ms"] = round(record["duration_ms"] + record["stopped_ms"], 3)

"""The steps of the fault matrix: moments in the life of a snapshot command at which the conversation can be stopped."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from tests.integration.faults.disks import INTERNAL_PREFIX, NEW, OLD, Disks, Kept, internal_tags
from tests.integration.faults.relay import Condition, Kind, Message
from tests.integration.faults.stage import Firmware

__all__ = ["STEPS", "Phase", "Scenario", "Step", "is_done"]


class Phase(Enum):
    """The columns of the matrix: how far a command has come."""

    LOOKING = "looking"
    CHANGING = "changing"
    SETTLED = "settled"
    SAFELY = "replacing safely"
    IN_STEPS = "replacing in steps"
    RECOVERING = "recovering"


class Scenario(Enum):
    """What is asked of which VM: the command line, the firmware, and the proxy's options."""

    NEW = ("savevm u", Firmware.PLAIN, ())
    AT_ONCE = ("savevm t", Firmware.PLAIN, ())
    SAFELY = ("savevm t", Firmware.VARSTORE, ())
    IN_STEPS = ("savevm t", Firmware.VARSTORE, ("--overwrite", "replace"))
    LOAD = ("loadvm t", Firmware.PLAIN, ())
    DELETE = ("delvm t", Firmware.PLAIN, ())
    INFO = ("info snapshots", Firmware.VARSTORE, ())
    # A proxy was killed while `savevm left` was under way, and the next one begins.
    RECOVERY = ("savevm u", Firmware.VARSTORE, ())

    def __init__(self, line: str, firmware: Firmware, options: tuple[str, ...]) -> None:
        self.line = line
        self.firmware = firmware
        self.options = options


@dataclass(frozen=True, slots=True)
class Step:
    """A moment. condition: makes the condition for the message to stop at. freezes: QEMU stops there, too."""

    name: str
    scenario: Scenario
    phase: Phase
    condition: Callable[[], Condition]
    freezes: bool = False


_Test: TypeAlias = Callable[[Message], bool]


@dataclass(slots=True)
class _After:
    """Holds for the first message that passes `wanted` once one has passed `before`."""

    before: _Test
    wanted: _Test
    has_seen: bool = field(default=False)

    def __call__(self, message: Message) -> bool:
        if self.has_seen:
            return self.wanted(message)
        self.has_seen = self.before(message)
        return False


def _first(kind: Kind) -> Callable[[], Condition]:
    return lambda: lambda message: message.kind is kind


def _on(kind: Kind, name: str, tag: str | None = None) -> _Test:
    """Recognise a message; tag: of a snapshot job, or the beginning of the internal ones."""

    def holds(message: Message) -> bool:
        found = str(message.arguments.get("tag", ""))
        is_of_tag = tag is None or found == tag or (tag == INTERNAL_PREFIX and found.startswith(tag))
        return message.kind is kind and message.name == name and is_of_tag

    return holds


def _at(kind: Kind, name: str, tag: str | None = None) -> Callable[[], Condition]:
    return lambda: _on(kind, name, tag)


def _after(before: _Test, wanted: _Test) -> Callable[[], Condition]:
    return lambda: _After(before, wanted)


_STOP: Final = _on(Kind.EVENT, "STOP")
_DELETE_T: Final = _on(Kind.COMMAND, "snapshot-delete", "t")
_HMP: Final = "human-monitor-command"
_COMMAND, _REPLY, _EVENT = Kind.COMMAND, Kind.REPLY, Kind.EVENT

STEPS: Final = (
    Step("new-survey-sent", Scenario.NEW, Phase.LOOKING, _first(_COMMAND)),
    Step("new-survey-answered", Scenario.NEW, Phase.LOOKING, _first(_REPLY)),
    Step("new-job-written", Scenario.NEW, Phase.CHANGING, _at(_COMMAND, "snapshot-save", "u")),
    Step("new-vm-stopped", Scenario.NEW, Phase.CHANGING, _at(_EVENT, "STOP"), freezes=True),
    Step("new-job-answered", Scenario.NEW, Phase.SETTLED, _at(_REPLY, "snapshot-save", "u")),
    Step("new-job-dismissed", Scenario.NEW, Phase.SETTLED, _at(_REPLY, "job-dismiss")),
    Step("at-once-written", Scenario.AT_ONCE, Phase.CHANGING, _at(_COMMAND, _HMP)),
    Step("at-once-vm-stopped", Scenario.AT_ONCE, Phase.CHANGING, _at(_EVENT, "STOP"), freezes=True),
    Step("at-once-answered", Scenario.AT_ONCE, Phase.SETTLED, _at(_REPLY, _HMP)),
    Step("safe-copy-vm-stopped", Scenario.SAFELY, Phase.SAFELY, _at(_EVENT, "STOP"), freezes=True),
    Step("safe-copy-saved", Scenario.SAFELY, Phase.SAFELY, _at(_REPLY, "snapshot-save", INTERNAL_PREFIX)),
    Step("safe-old-delete-written", Scenario.SAFELY, Phase.SAFELY, _at(_COMMAND, "snapshot-delete", "t")),
    Step("safe-old-deleted", Scenario.SAFELY, Phase.SAFELY, _at(_REPLY, "snapshot-delete", "t")),
    Step("safe-save-vm-stopped", Scenario.SAFELY, Phase.SAFELY, _after(_DELETE_T, _STOP), freezes=True),
    Step("safe-copy-deleted", Scenario.SAFELY, Phase.SAFELY, _at(_REPLY, "snapshot-delete", INTERNAL_PREFIX)),
    Step("steps-old-delete-written", Scenario.IN_STEPS, Phase.IN_STEPS, _at(_COMMAND, "snapshot-delete", "t")),
    Step("steps-old-deleted", Scenario.IN_STEPS, Phase.IN_STEPS, _at(_REPLY, "snapshot-delete", "t")),
    Step("steps-save-vm-stopped", Scenario.IN_STEPS, Phase.IN_STEPS, _after(_DELETE_T, _STOP), freezes=True),
    Step("steps-saved", Scenario.IN_STEPS, Phase.IN_STEPS, _after(_DELETE_T, _on(_REPLY, "snapshot-save", "t"))),
    Step("load-survey-answered", Scenario.LOAD, Phase.LOOKING, _first(_REPLY)),
    Step("load-job-written", Scenario.LOAD, Phase.CHANGING, _at(_COMMAND, "snapshot-load", "t")),
    Step("load-vm-stopped", Scenario.LOAD, Phase.CHANGING, _at(_EVENT, "STOP"), freezes=True),
    Step("load-job-answered", Scenario.LOAD, Phase.SETTLED, _at(_REPLY, "snapshot-load", "t")),
    Step("delete-job-written", Scenario.DELETE, Phase.CHANGING, _at(_COMMAND, "snapshot-delete", "t")),
    Step("delete-job-answered", Scenario.DELETE, Phase.SETTLED, _at(_REPLY, "snapshot-delete", "t")),
    Step("info-survey-answered", Scenario.INFO, Phase.LOOKING, _first(_REPLY)),
    Step("recovery-asked", Scenario.RECOVERY, Phase.RECOVERING, _at(_COMMAND, "query-jobs")),
)


def is_done(scenario: Scenario, disks: Disks) -> bool:
    """Tell whether the command's work is there, whole and with the right content, and nothing besides."""
    d0, d1 = disks.values()
    current = (d0.content, d1.content)
    if internal_tags(disks):
        return False
    match scenario:
        case Scenario.NEW | Scenario.RECOVERY:
            return _has(disks, "u", NEW) and _has(disks, "t", OLD) and current == (NEW, NEW)
        case Scenario.AT_ONCE | Scenario.SAFELY | Scenario.IN_STEPS:
            return _has(disks, "t", NEW) and current == (NEW, NEW)
        case Scenario.LOAD:
            return _has(disks, "t", OLD) and current == (OLD, OLD)
        case Scenario.DELETE:
            return not d0.tagged("t") and not d1.tagged("t") and current == (NEW, NEW)
        case Scenario.INFO:
            return _has(disks, "t", OLD) and current == (NEW, NEW)


def _has(disks: Disks, tag: str, content: int) -> bool:
    d0, d1 = disks.values()
    return d0.tagged(tag) == [Kept(tag, True, content)] and d1.tagged(tag) == [Kept(tag, False, content)]

"""A row of the table of settings (`host/settings/settings.py`), and the values that its members may have."""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Any

from host.settings.setting_types import SettingType

__all__ = ["Owner", "Program", "Section", "Setting"]


class Program(Enum):
    """The program whose command line has the option: `hmp-proxy`, `hmp-proxy plan` or `hmp-repl`."""

    PROXY = auto()
    PLAN = auto()
    PROMPT = auto()


class Owner(Enum):
    """The class with the value as a member: VMConfig, or its Policy, its AuditSettings, or the Terms of its listeners."""

    VM = auto()
    LISTENER = auto()
    POLICY = auto()
    AUDIT = auto()


class Section(StrEnum):
    """A part of `--help`, by its title."""

    VM = "the VM"
    ACCESS = "who may connect"
    RULES = "who may send what"
    POLICY = "which disks a snapshot takes"
    SNAPSHOTS = "limits on snapshots"
    GONE = "commands of clients that have hung up"
    MODE = "what is done with HMP commands"
    LIMITS = "limits of clients"
    LOG = "what is logged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row.

    key: its name in the file. member: its name in `owner`'s dataclass; "" if that is the key. programs: those that have the
    option; the file's key is for all. option: "" if it is the key after two hyphens. default: as the option would store it;
    None for "nothing". The dataclass has it too, as a value. prompt_help: what the prompt's `--help` says instead. is_shared:
    it may be in [defaults], too, and not only in a [[vm]] table. listener_key: its name in the table of one listener; "" if it
    is the key. Only for rows whose owner is LISTENER.
    """

    key: str
    type: SettingType
    owner: Owner
    section: Section
    help: str
    member: str = ""
    programs: tuple[Program, ...] = (Program.PROXY,)
    option: str = ""
    metavar: str | None = None
    default: Any = None
    prompt_help: str = ""
    is_shared: bool = True
    listener_key: str = ""

    @property
    def field(self) -> str:
        return self.member or self.key

    @property
    def flag(self) -> str:
        return self.option or f"--{self.key.replace('_', '-')}"

    @property
    def key_of_listener(self) -> str:
        """Its name in the table of one listener."""
        return self.listener_key or self.key

    @property
    def word_of_listener(self) -> str:
        """Its name after the address of one listener: listener_key with hyphens, or else the name of its option."""
        return self.listener_key.replace("_", "-") or self.flag.removeprefix("--")

    @property
    def destination(self) -> str:
        """The attribute in which argparse stores it (argparse, "dest")."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def gives_policy(self) -> bool:
        """Whether an option for this setting makes a plan use the given policy, instead of the one in force at a proxy."""
        return self.owner is Owner.POLICY and Program.PLAN in self.programs

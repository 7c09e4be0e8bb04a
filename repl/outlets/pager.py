"""Which pager long output goes through, and its environment; only `command_of` decides which command it is."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

__all__ = ["Pager", "command_of"]

# Set as git does, unless the person has set them: less exits at once if everything fits (F), shows colours (R), and leaves the
# text on the screen (X); lv shows colours (c).
_FLAGS: Final = {"LESS": "FRX", "LV": "-c"}
_NONE: Final = frozenset({"", "cat"})
_LESS: Final = re.compile(r"\s*(?:\S*/)?less(?=\s|$)(.*)", re.DOTALL)
_SHOWS_COLOURS: Final = re.compile(r"[rR]|--(?:raw|RAW)-control-chars", re.ASCII)


def command_of(environment: Mapping[str, str], wanted: str | None = None) -> str:
    """Return the shell command that is this person's pager; "" if there is none, or none is wanted.

    wanted: by the settings. As with git, our own variable takes precedence over it, and the variable of all programs does not.
    """
    for given in (environment.get("HMPSHIM_PAGER"), wanted, environment.get("PAGER")):
        if given is not None:
            return "" if given.strip() in _NONE else given.strip()
    path = environment.get("PATH")
    return next((name for name in ("less", "more") if shutil.which(name, path=path) is not None), "")


@dataclass(frozen=True, slots=True)
class Pager:
    """A person's pager. command: for the shell, "" for none. is_on: whether long output goes to it. wanted: by the settings."""

    command: str
    is_on: bool = True
    wanted: str | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str], wanted: str | None = None) -> Self:
        return cls(command_of(environment, wanted), wanted=wanted)

    @property
    def is_used(self) -> bool:
        return self.is_on and bool(self.command)

    def changed(self, argument: str, environment: Mapping[str, str]) -> "Pager":
        """Return the pager after `pager on`, `pager off` or `pager COMMAND`; "" changes nothing."""
        match argument:
            case "":
                return self
            case "off":
                return replace(self, is_on=False)
            case "on":
                return replace(self, command=self.command or command_of(environment, self.wanted), is_on=True)
        return replace(self, command=argument, is_on=True)

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the environment for the pager."""
        return {**_FLAGS, **environment}

    def shows_colours(self, environment: Mapping[str, str]) -> bool:
        """Return whether it shows escape sequences as colours. Only less is known to; other pagers get none."""
        found = _LESS.match(self.command)
        flags = "" if found is None else f"{self.environment(environment)['LESS']} {found[1]}"
        return _SHOWS_COLOURS.search(flags) is not None

    def __str__(self) -> str:
        if not self.is_on:
            return "output is shown without a pager"
        return f"long output goes through {self.command}" if self.command else "there is no pager; 'pager COMMAND' sets one"

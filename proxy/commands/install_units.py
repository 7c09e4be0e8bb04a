"""`hmp-proxy install-units`: put systemd's units in place, again after each upgrade, without undoing an operator's changes.

A unit that was written here begins with a checksum of the rest. So an untouched unit can be told from one that was changed,
whatever version wrote it, and whatever command it starts.
"""

import hashlib
import logging
import os
import re
import tempfile
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Final

from host.errors import ProgramError
from proxy.command_line.invocations import InstallUnitsInvocation
from proxy.commands.own_command import check_visible, own_command, own_files, spell_command

__all__ = ["KEPT", "UNITS", "CannotInstallError", "install_units"]

_log = logging.getLogger(__name__)

UNITS: Final = ("hmp-proxy.service", "hmp-proxy@.service", "hmp-proxy@.socket")
# The exit status if a changed unit was kept.
KEPT: Final = 4
_SYSTEM_FOLDER: Final = Path("/etc/systemd/system")
# The placeholder for the command in the unit templates.
_COMMAND: Final = "@hmp-proxy@"
_MARK: Final = """\
# Written by hmp-proxy install-units, which replaces this file unless it was changed: put changes into a drop-in
# (systemctl edit). SHA-256 of what follows: {}
"""
_MARK_PATTERN: Final = re.compile(re.escape(_MARK).replace(r"\{\}", "([0-9a-f]{64})"))
_UNIT_MODE: Final = 0o644

_NEXT_STEPS: Final = """\

Next, describe the VMs in {config}.toml, or one VM alone in {config}/vms/NAME.toml:

  [[vm]]
  name = "vm1"
  upstream = "unix:/run/vm1/qmp.sock"
  listen = "unix:{runtime}/hmp-proxy/vm1.sock"

Then:

  {systemctl} daemon-reload
  {systemctl} enable --now hmp-proxy              # all VMs of {config}.toml
  {systemctl} enable --now hmp-proxy@vm1          # the VM of {config}/vms/vm1.toml, in {runtime}/hmp-proxy-vms/vm1
  {systemctl} enable --now hmp-proxy@vm1.socket   # the same with listen = "systemd", at {runtime}/hmp-proxy-vms/vm1.sock
"""
_OF_USER: Final = """\
  loginctl enable-linger                         # to have them from boot on, and when you are logged out
"""
_AFTER_UPDATE: Final = """\

A running service stays as it is until:

  {systemctl} daemon-reload
  hmp-proxy upgrade                              # no tool notices
  {systemctl} restart UNIT                       # instead, for a service that cannot do that: its tools are disconnected
"""


class CannotInstallError(ProgramError):
    """A unit, or the folder for it, cannot be written."""

    exit_status = 3
    template = "cannot install {subject}: {reason}"


class _Outcome(StrEnum):
    WRITTEN = "written"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    KEPT = "kept"


def install_units(invocation: InstallUnitsInvocation) -> tuple[str, int]:
    """Install the units. Return what was done and what to do next, and the exit status.

    Raises NotStartableError before anything is written, and CannotInstallError.
    """
    is_for_user = invocation.is_for_user
    folder = _user_folder() if is_for_user else _SYSTEM_FOLDER
    units = {folder / name: _text(name, is_for_user=is_for_user) for name in UNITS}
    if invocation.only_prints:
        return "\n".join(f"# {path}\n{text}" for path, text in units.items()).rstrip("\n"), 0
    if not is_for_user and not invocation.is_forced:
        check_visible(own_files())
    outcomes = {path: _install(path, text, is_forced=invocation.is_forced) for path, text in units.items()}
    for path, outcome in outcomes.items():
        if outcome is _Outcome.KEPT:
            _log.error("%s was changed, and is kept: put the changes into a drop-in (systemctl edit), and use --force", path)
    told = "".join(f"{path}: {outcome}\n" for path, outcome in outcomes.items())
    told += _next_steps(is_for_user=is_for_user, is_update=_Outcome.UPDATED in outcomes.values())
    return told.rstrip("\n"), KEPT if _Outcome.KEPT in outcomes.values() else 0


def _user_folder() -> Path:
    return _user_configuration() / "systemd" / "user"


def _user_configuration() -> Path:
    """Return the user's folder for configuration. A relative path in the variable is ignored (XDG base directories)."""
    given = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return given if given.is_absolute() else Path.home() / ".config"


def _text(name: str, *, is_for_user: bool) -> str:
    """Return the text of a unit from its template, which may be in an archive."""
    own = files("proxy").joinpath("units", "user" if is_for_user else "system", name)
    text = own.read_text(encoding="utf-8").replace(_COMMAND, spell_command(own_command()))
    return _MARK.format(_digest(text)) + text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _install(path: Path, text: str, *, is_forced: bool) -> _Outcome:
    try:
        there = _read(path)
        if there == text:
            return _Outcome.UNCHANGED
        if there is not None and not is_forced and not _is_as_written(there):
            return _Outcome.KEPT
        _write(path, text)
    except OSError as exc:
        is_for_root = isinstance(exc, PermissionError) and path.parent == _SYSTEM_FOLDER
        hint = " (run it as root, or with --user)" if is_for_root else ""
        raise CannotInstallError(str(path), f"{exc.strerror}{hint}") from exc
    return _Outcome.WRITTEN if there is None else _Outcome.UPDATED


def _read(path: Path) -> str | None:
    """Return the text that is there; None if there is none. A link counts as changed: `systemctl mask` makes one."""
    if path.is_symlink():
        return ""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _is_as_written(text: str) -> bool:
    """Return whether a unit is as it was written here, by whatever version."""
    found = _MARK_PATTERN.match(text)
    return found is not None and found[1] == _digest(text[found.end() :])


def _write(path: Path, text: str) -> None:
    """Write a unit atomically, in place of a file or link there: systemd may read it at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), _UNIT_MODE)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _next_steps(*, is_for_user: bool, is_update: bool) -> str:
    text = _NEXT_STEPS + _OF_USER * is_for_user + _AFTER_UPDATE * is_update
    if not is_for_user:
        return text.format(config="/etc/hmpshim", runtime="/run", systemctl="systemctl")
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
    return text.format(config=_user_configuration() / "hmpshim", runtime=runtime, systemctl="systemctl --user")

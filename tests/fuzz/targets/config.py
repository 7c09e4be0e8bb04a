"""The configuration file: it is read, or there is a ConfigError that says where, and nothing else."""

import re
import tempfile
from pathlib import Path
from typing import Final

from host.configuration.config_file import load_config_file
from host.errors import ConfigError
from host.settings.settings import SETTINGS
from tests.support.proxy.config_files import VM1

__all__ = ["COVERS", "WORDS", "check"]

COVERS: Final = (
    *("host/configuration/config_file.py", "host/settings/setting_types.py", "host/settings/settings.py"),
    *("host/net/addresses.py", "host/configuration/contradictions.py"),
    *("host/configuration/toml_places.py", "host/configuration/config_text.py", "host/settings/bad_value.py"),
)
WORDS: Final = (
    *(setting.key.encode() for setting in SETTINGS),
    *b'[[vm]] [defaults] [vm] = true false "unix:/a" "tcp:h:1" "fd:3" "accept:unix:/a" ["a","b"] \\u0000 0x inf {a='.split(),
    *b'"refuse" "continue" "qmp" "hmp" "observe" "safe" "all" "0600" "10M" "syslog:" 1979-02-30'.split(),
    *(b'"' * 3, b"'" * 3, b"9" * 4400, b"[" * 200, b"\r\n"),
    *(line.encode() for line in VM1.splitlines(keepends=True)),
)
_FOLDER: Final = tempfile.TemporaryDirectory(prefix="hmpshim-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
_PATH: Final = Path(_FOLDER.name, "hmpshim.toml")
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
# A text for a terminal: the longest names all keys.
_MOST_CHARS: Final = 3000


def check(data: bytes) -> None:
    """Fail unless the file is read as itself, or refused in the documented way."""
    found = _read(data)
    if isinstance(found, ConfigError):
        lines = len(_LINE_END.findall(data)) + 1
        assert 0 <= found.line <= lines, f"line {found.line} of {lines}"
        assert len(str(found)) < _MOST_CHARS, f"{len(str(found))} characters"
        assert found.exit_status == ConfigError.exit_status
        return
    assert found, "a configuration without a VM"
    # A comment changes nothing.
    assert _read(data + b"\n# the end\n") == found


def _read(data: bytes) -> object:
    _PATH.write_bytes(data)
    try:
        return load_config_file(str(_PATH))
    except ConfigError as exc:
        return exc

"""What the numbers were measured on."""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

__all__ = ["is_pgo", "machine_facts", "qemu_version"]


def is_pgo() -> bool:
    """Return whether this CPython was built with profile-guided optimization; other builds are slower.

    Distributions build with it. Debian does so by make targets of its own, and the configuration of its 3.11.2 does not show
    it, so a Python in /usr counts as built with PGO. One that a user compiled with default options, as pyenv does, has none.
    """
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return "--enable-optimizations" in options or sys.base_prefix == "/usr"


def qemu_version() -> str | None:
    """Return the version of the QEMU that would be measured; None if QEMU or qemu-img is missing."""
    program = shutil.which(os.environ.get("QEMU_SYSTEM", "qemu-system-x86_64"))
    if program is None or shutil.which("qemu-img") is None:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    return said.partition("version ")[2].split()[0] if "version " in said else None


def machine_facts(core: int, language: str) -> dict[str, str]:
    """Return what a reader must know to compare two runs, in the order to show it."""
    build = "with PGO" if is_pgo() else "without PGO"
    return {
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores; all processes pinned to core {core}",
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()} {build} ({sys.executable})",
        "QEMU": qemu_version() or "not there",
        "client and stub server": language,
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()

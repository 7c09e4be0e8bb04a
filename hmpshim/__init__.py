"""The three commands of an installation: hmp-proxy, hmp-repl and hmp-audit.

In a checkout the packages of the programs stand at the top: shim, host, proxy, repl, audit. Installed there, they would share
their names with other distributions (PyPI's proxy.py has a package `proxy` too), and each would overwrite the other's files. So
the wheel puts them into the folder hmpshim/programs (pyproject.toml, "package-dir"). It is no package, but the first place
where a process of ours looks for modules. The imports in the sources are the same in both.

Only what every start of Python has loaded already is imported here, so that a command starts as fast as its program.
"""

import os
import sys

__all__ = ["audit", "proxy", "repl"]


def proxy() -> int:
    """Run `hmp-proxy` and return its exit status."""
    _find_programs()
    from proxy.__main__ import main

    return main()


def repl() -> int:
    """Run `hmp-repl` and return its exit status."""
    _find_programs()
    from repl.__main__ import main

    return main()


def audit() -> int:
    """Run `hmp-audit` and return its exit status."""
    _find_programs()
    from audit.__main__ import main

    return main()


def _find_programs() -> None:
    """Put the folder of the programs first on the path: before site-packages, where another `proxy` may be."""
    here = os.path.dirname(os.path.abspath(__file__))
    programs = os.path.join(here, "programs")
    # In a checkout, which an editable install runs from, and in hmpshim.pyz they stand beside this package.
    sys.path.insert(0, programs if os.path.isdir(programs) else os.path.dirname(here))

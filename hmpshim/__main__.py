"""`hmpshim.pyz PROGRAM ...`, or `python -m hmpshim PROGRAM ...`: each program as a subcommand."""

import sys

import hmpshim

_PROGRAMS = {"proxy": hmpshim.proxy, "repl": hmpshim.repl, "audit": hmpshim.audit}
_USAGE = """\
usage: hmpshim.pyz proxy ...    what hmp-proxy does
       hmpshim.pyz repl ...     what hmp-repl does
       hmpshim.pyz audit ...    what hmp-audit does
Each of them has --help and --version.
"""
_WRONG_USE = 2


def main() -> int:
    """Run the program that the first argument names, with the arguments after it, and return its exit status."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in ("-h", "--help"):
        sys.stdout.write(_USAGE)
        return 0
    if name not in _PROGRAMS:
        sys.stderr.write(_USAGE)
        return _WRONG_USE
    del sys.argv[1]
    return _PROGRAMS[name]()


if __name__ == "__main__":
    sys.exit(main())

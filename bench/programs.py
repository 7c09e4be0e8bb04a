"""The stub server and the load client: in C if there is a compiler, because their own cost blurs every ratio."""

import shutil
import sys
from dataclasses import dataclass

from bench.errors import BenchError
from bench.fleet import ROOT, Fleet

__all__ = ["Programs", "make_programs"]


@dataclass(frozen=True, slots=True)
class Programs:
    """Command lines, to be followed by arguments. language: what they are written in, for the reader."""

    stub: tuple[str, ...]
    load: tuple[str, ...]
    language: str


def make_programs(fleet: Fleet, *, use_c: bool) -> Programs:
    """Compile the two programs into the fleet's folder, or use those in Python if that is impossible or not wanted."""
    compiler = shutil.which("cc") if use_c else None
    if compiler is None:
        return _in_python("no C compiler: the ratios look closer to 1 than they are" if use_c else "as asked")
    try:
        stub, load = (_compile(fleet, compiler, name) for name in ("stub", "load"))
    except BenchError:
        return _in_python("the C compiler does not work: the ratios look closer to 1 than they are")
    return Programs((stub,), (load,), "C")


def _compile(fleet: Fleet, compiler: str, name: str) -> str:
    program = str(fleet.folder / name)
    fleet.output([compiler, "-O2", "-o", program, str(ROOT / "bench" / f"{name}.c")])
    return program


def _in_python(reason: str) -> Programs:
    stub, load = ((sys.executable, "-I", str(ROOT / "bench" / f"{name}.py")) for name in ("stub", "load"))
    return Programs(stub, load, f"Python ({reason})")

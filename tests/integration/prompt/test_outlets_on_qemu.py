"""Where a line's output goes, with a real QEMU as the judge: no line that QEMU takes gets another meaning at the prompt."""

import random
import re
from pathlib import Path
from typing import Final

import pytest

from repl.completion_data import parse_help
from repl.lines.scanning import LineError
from repl.outlets.redirection import split_outlet
from tests.integration.machines import Machine
from tests.integration.prompt.sitting import sit
from tests.support.repl.screen import Person

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

# What QEMU 7.2 to 11.1 say to a line that they do not take.
COMPLAINT: Final = re.compile(
    "|".join(
        (
            r"extraneous characters at the end of line|unknown command: '|invalid char '|unexpected end of expression",
            r"integer is for 32-bit values|unsupported option -|unknown register|invalid vCPU index|unknown event|not found",
            r"could not be resolved|does not accept value|^Error: |^\S+: (?:string|filename|block device name) expected",
            r"expected\b|division by zero|number too large|^invalid ",
        )
    )
)
CALCULATING: Final = ("p", "print", "x", "xp", "x/2xb", "p/x", "i", "sum 0", "gva2gpa", "gpa2hva", "gpa2hpa")
NAMING: Final = ("qom-list", "qom-get", "qom-get /machine", "qemu-io", "qemu-io d0", "ringbuf_read", "ringbuf_read c")
LISTING: Final = ("device_add help", "object_add help", "netdev_add help", "chardev-add help", "log help")
# It opens the devices of the host.
LEFT_OUT: Final = frozenset({"usbhost"})


def goes_elsewhere(line: str) -> bool:
    try:
        return split_outlet(line)[1] is not None
    except LineError:
        return True


def taken(vm: Machine, line: str) -> bool:
    """Tell whether QEMU does something with the line. Of a device that is not there, `info block` prints nothing."""
    said = vm.observer.hmp(line)
    return bool(said) and COMPLAINT.search(said) is None


def topics(vm: Machine) -> list[str]:
    found = parse_help(vm.observer.hmp("help info").replace("\r\n", "\n"), prefix="info")
    assert len(found) > 40
    return [name for topic in found for name in topic.names if name not in LEFT_OUT]


def test_line_that_qemu_takes_is_qemus(vm: Machine) -> None:
    """Each topic of `info`, and each other command that has outlets, with every operator in every spelling."""
    starts = [f"info {topic}{argument}" for topic in topics(vm) for argument in ("", " 0", " x 0")]
    starts += [*(f"{name} 1" for name in (*CALCULATING, *NAMING)), *NAMING, *LISTING]
    ends = (
        "|2",
        " | 2",
        " |2",
        "| 2",
        " | $pc",
        " | (1)",
        " | -1",
        " | ~1",
        " | 'a'",
        "|g",
        " | g",
        ">f",
        " > f",
        ">>f",
        " >> f",
    )
    lines = [start + end for start in starts for end in ends]
    assert [line for line in lines if taken(vm, line) and goes_elsewhere(line)] == []
    # The question was none if QEMU had taken none of them, or if all were left to it.
    assert sum(taken(vm, f"{name} 1 | 2") for name in CALCULATING) == len(CALCULATING)
    assert sum(map(goes_elsewhere, lines)) > len(lines) / 3


def test_commands_that_take_an_expression_are_known(vm: Machine) -> None:
    """The rule's list has each topic of this QEMU that takes a number."""
    calculating = [topic for topic in topics(vm) if vm.observer.hmp(f"info {topic} 1 | g").startswith("invalid char 'g'")]
    assert {"lapic", "registers"} <= set(calculating)
    assert [topic for topic in calculating if goes_elsewhere(f"info {topic} 1 | 2")] == []
    named = [topic for topic in topics(vm) if vm.observer.hmp(f"info {topic} x 1 | g").startswith("invalid char 'g'")]
    assert [topic for topic in named if goes_elsewhere(f"info {topic} x 1 | 2")] == []


@pytest.mark.parametrize("seed", range(4))
def test_random_line_that_qemu_takes_is_qemus(vm: Machine, seed: int) -> None:
    rng = random.Random(seed)
    names = (*CALCULATING, "info lapic", "info registers", "qom-list")
    operands = ("1", "0x10", "$pc", "(1)", "-1", "~2", "'|'", "'>'", "g", "")
    operators = ("|", " | ", " |", "| ", "&", " + ", ">", " > ", " >> ", "||", " ")
    count = 0
    for _ in range(300):
        words = [rng.choice(names), " ", rng.choice(operands)]
        for _ in range(rng.randrange(1, 4)):
            words += [rng.choice(operators), rng.choice(operands)]
        line = "".join(words)
        if taken(vm, line):
            count += 1
            assert not goes_elsewhere(line), line
    assert count > 30


def test_qemus_own_pipes_are_left_to_it(vm: Machine, tmp_path: Path) -> None:
    migrated, printed = tmp_path / "migrated", tmp_path / "printed"

    async def scene(person: Person) -> None:
        assert await person.runs("p 1 | 2") == "0x3"
        assert await person.runs(f"p 1 | 2 | cat > {printed}") == ""
        assert await person.runs("p '|'") == "0x7c"
        assert "extraneous characters" in await person.runs(f"stop > {tmp_path}/no")
        await person.runs('qemu-io d0 "write -P 0x3e 0 512" > /dev/null')
        await person.runs(f'migrate "exec:cat > {migrated}"')
        await person.until(lambda: "completed" in vm.observer.hmp("info migrate"), "the migration")

    sit(vm, scene, columns=200)
    assert printed.read_text() == "0x3\n"
    assert migrated.stat().st_size > 1000
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["migrated", "printed"]

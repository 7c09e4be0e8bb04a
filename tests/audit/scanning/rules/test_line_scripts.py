"""YAML, Makefiles and Dockerfiles."""

import pytest

from audit.scanning.rules.line_scripts import scan_lines


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- run: echo savevm t | nc m", 1),
        ("run: |\n  it's\n\n  x\n  echo savevm t | nc m\nend: 1", 5),
        ("run: >\n  echo savevm t\n  | nc m", 2),
        ("run: echo savevm t |\\\n  nc m", 1),
        ("name: don't\nrun: echo savevm t | nc m", 2),
        ("x:\n  args:\n    - virsh\n    - qemu-monitor-command\n    - d\n    - --hmp\n    - savevm t\n", 4),
        ("args:\n  - virsh\n  - qemu-monitor-command\n  - d\n  - --hmp\n  - savevm", 3),
        ('CMD ["virsh", "qemu-monitor-command", "d", "--hmp", "savevm"]', 1),
        ("a:\n\t@echo savevm t | nc m", 2),
        ("name: echo savevm t | nc m", 0),
        ("args:\n  - savevm t\n", 0),
        ("x:\n  - savevm t\n  - loadvm t", 0),
        ("args:\n  - x: y\n", 0),
    ],
)
def test_places(text: str, line: int) -> None:
    assert [text.count("\n", 0, hit.offset) + 1 for hit in scan_lines(text)] == ([line] if line else [])
    assert all(text[hit.offset :].startswith(("savevm", "qemu-monitor-command")) for hit in scan_lines(text))

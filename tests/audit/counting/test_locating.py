"""Where a tool is, as its records say it."""

from typing import Any

import pytest

from audit.counting.locating import path_of, word_of
from tests.support.audit.audit_records import a_record

SH = {"pid": 5, "exe": "/bin/sh"}


def client(**members: Any) -> dict[str, Any]:
    found: dict[str, Any] = a_record(**members)["client"]
    return found


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"exe": "/usr/bin/virsh"}, "/usr/bin/virsh"),
        ({"exe": "/usr/bin/virsh (deleted)", "tool": "virsh"}, "/usr/bin/virsh"),
        ({"tool": "a.py", "argv": ["python3", "-u", "/srv/a.py", "/x/a.py"]}, "/srv/a.py"),
        ({"tool": "a.sh", "argv": ["socat"], "parent": SH | {"argv": ["sh", "-e", "/srv/a.sh"]}}, "/srv/a.sh"),
        ({"tool": "vmtool", "argv": ["socat"], "parent": {"pid": 5, "exe": "/opt/vmtool", "argv": []}}, "/opt/vmtool"),
        ({"tool": "socat", "exe": "/bin/socat", "parent": SH | {"argv": ["sh", "-c", "x"]}}, "/bin/socat"),
        ({"tool": "backup", "argv": ["python3", "/srv/backup/"]}, "/srv/backup"),
        ({"tool": "backup", "argv": ["python3", "/srv/backup/__main__.py"]}, "/srv/backup/__main__.py"),
        ({"tool": "a.py", "argv": ["python3", "tools/a.py"]}, "tools/a.py"),
        ({"tool": "a.py", "argv": ["python3", "a.py"]}, None),
        ({"tool": "a.py", "argv": ["python3", "./a.py"]}, None),
        ({"tool": "backup.run", "argv": ["python3", "-m", "backup.run"]}, None),
        ({"tool": "exe-1a2b3c4d", "exe": "exe-5f9c2e01", "argv": ["exe-5f9c2e01", "exe-1a2b3c4d"]}, None),
        ({"tool": "a.py", "exe": None, "argv": [5, None], "parent": {"argv": None, "exe": 5}}, None),
        ({"exe": None}, None),
    ],
)
def test_path(members: dict[str, Any], path: str | None) -> None:
    assert path_of(client(**members)) == path


@pytest.mark.parametrize(
    ("path", "lasting"),
    [
        ("/tmp/tmp.Xa9fQ0bTgE/run.sh", "/tmp/tmp.*/run.sh"),
        ("/tmp/tmpk2_9xq0z/run.sh", "/tmp/tmp*/run.sh"),
        ("/tmp/deploy-aB3dE5/run.sh", "/tmp/deploy-*/run.sh"),
        ("/var/tmp/q7Rk2P/bin/run.sh", "/var/tmp/*/bin/run.sh"),
        ("/tmp/jenkins3141592653.sh", "/tmp/jenkins*.sh"),
        ("/srv/actions/_temp/01234567-89ab-cdef-0123-456789abcdef.sh", "/srv/actions/_temp/*.sh"),
        ("/var/lib/jenkins/workspace/vm@2/run.sh", "/var/lib/jenkins/workspace/vm@*/run.sh"),
        (
            "/var/lib/jenkins/workspace/vm@tmp/durable-0a1b2c3d/script.sh",
            "/var/lib/jenkins/workspace/vm@tmp/durable-*/script.sh",
        ),
        ("/tmp/pytest-of-root/pytest-12/run.sh", "/tmp/pytest-of-root/pytest-*/run.sh"),
        ("/srv/releases/20261124093000/run.sh", "/srv/releases/*/run.sh"),
        ("/nix/store/0c1y8k3zq5vja2x9w7d6s4f3g2h1lmnp-vm/bin/run.sh", "/nix/store/*-vm/bin/run.sh"),
        ("/tmp/a/run.sh", "/tmp/a/run.sh"),
        ("/tmp/backups/run.sh", "/tmp/backups/run.sh"),
        ("/srv/Backup1/run.sh", "/srv/Backup1/run.sh"),
        ("/opt/vmtool-1.2.3/run.sh", "/opt/vmtool-1.2.3/run.sh"),
    ],
)
def test_what_differs_from_run_to_run_is_left_out(path: str, lasting: str) -> None:
    assert path_of(client(tool=path.rpartition("/")[2], argv=["sh", path])) == lasting


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({"tool": "a.py", "argv": ["python3", "-u", "/srv/a.py"]}, "/srv/a.py"),
        ({"tool": "a.sh", "argv": ["socat"], "parent": SH | {"argv": ["sh", "/srv/a.sh"]}}, "/srv/a.sh"),
        ({"tool": "virsh", "argv": ["virsh", "list"]}, "virsh"),
        ({"tool": "a.py", "argv": ["python3"]}, None),
        ({"tool": "a.py", "argv": []}, None),
        ({"tool": None, "argv": ["/x"]}, None),
    ],
)
def test_word_that_the_tool_is_named_after(members: dict[str, Any], word: str | None) -> None:
    assert word_of(client(**members)) == word

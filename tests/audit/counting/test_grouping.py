"""Which tool a client is, and by which names a person may ask for it."""

from typing import Any

import pytest

from audit.counting.grouping import names_of, tool_of
from audit.reporting.parties import Tool
from tests.support.audit.audit_records import a_record


def client(**members: Any) -> dict[str, Any]:
    found: dict[str, Any] = a_record(**members)["client"]
    return found


@pytest.mark.parametrize(
    ("members", "tool"),
    [
        ({"tool": "nightly.py", "unit": "backup.service", "user": "backup"}, Tool("nightly.py", "backup.service", "backup")),
        ({}, Tool("tool", "", "1000")),
        ({"uid": 0}, Tool("tool", "", "root")),
        ({"uid": 0, "user": "toor"}, Tool("tool", "", "toor")),
        ({"uid": None, "exe": None}, Tool("unknown program")),
        ({"uid": None, "exe": None, "address": "tcp:[2001:db8::1]:50"}, Tool("tcp:[2001:db8::1]")),
        ({"address": "tcp:127.0.0.1:50", "tool": "nightly.py"}, Tool("nightly.py", "", "1000")),
    ],
)
def test_tool(members: dict[str, Any], tool: Tool) -> None:
    assert tool_of(client(**members)) == tool


@pytest.mark.parametrize(
    ("unit", "place"),
    [
        ("backup.service", "backup.service"),
        ("backup@vm1.service", "backup@.service"),
        ("backup@a.b.c.service", "backup@.service"),
        ("backup@.service", "backup@.service"),
        ("session-3.scope", "login session"),
        ("session-c2.scope", "login session"),
        ("run-u12.service", "systemd-run"),
        ("run-r0123456789abcdef.scope", "systemd-run"),
        ("run-p12-i13.service", "systemd-run"),
        ("run-parts.service", "run-parts.service"),
        ("app-gnome-foot-1234.scope", "app-gnome-foot.scope"),
        ("vte-spawn-01234567-89ab-cdef-0123-456789abcdef.scope", "vte-spawn.scope"),
        ("node-2.service", "node-2.service"),
        ("backup-20261124.service", "backup-*.service"),
        (f"libpod-conmon-{'0a' * 32}.scope", "libpod-conmon-*.scope"),
    ],
)
def test_what_differs_from_run_to_run_is_left_out_of_a_unit(unit: str, place: str) -> None:
    assert tool_of(client(unit=unit)).place == place


@pytest.mark.parametrize(
    ("container", "unit", "place"),
    [
        ("docker:0123456789ab", None, "docker container"),
        ("kubernetes:0123456789ab", None, "kubernetes pod"),
        ("container:0123456789ab", None, "a container"),
        ("lxc:web", None, "lxc web"),
        ("lxc:web", "backup.service", "backup.service in lxc web"),
        ("strange", None, "strange "),
    ],
)
def test_containers(container: str, unit: str | None, place: str) -> None:
    assert tool_of(client(container=container, unit=unit)).place == place


def test_names_and_paths() -> None:
    parent = {"pid": 5, "exe": "/bin/bash", "argv": ["bash", "/opt/nightly.sh", "/x/y"]}
    found = client(tool="nightly.sh", exe="/usr/bin/socat", argv=["socat", 5, "-"], parent=parent, user="backup")
    assert list(names_of(found)) == [
        *("nightly.sh", "nightly.sh (user backup)", "/usr/bin/socat", "socat", "/opt/nightly.sh"),
    ]


@pytest.mark.parametrize("parent", [None, 5, {}, {"argv": None}])
def test_names_of_a_client_with_a_strange_parent(parent: Any) -> None:
    found = client(tool="a.py", exe=None, argv=["python3", "/opt/a.py"], address="tcp:192.0.2.1:5", parent=parent)
    assert list(names_of(found)) == ["a.py", "a.py (user 1000)", "tcp:192.0.2.1", "tcp:192.0.2.1", "/opt/a.py"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("jenkins3141592653.sh", "jenkins*.sh"),
        ("tmpk2_9xq0z.py", "tmp*.py"),
        ("tmp.Xa9fQ0bTgE", "tmp.*"),
        ("01234567-89ab-cdef-0123-456789abcdef.sh", "*.sh"),
        ("a" * 32, "*"),
        ("tmpfiles.py", "tmpfiles.py"),
        ("jenkins.sh", "jenkins.sh"),
        ("nightly2.py", "nightly2.py"),
    ],
)
def test_script_that_is_written_for_one_run_is_the_same_tool_in_the_next(name: str, kept: str) -> None:
    assert tool_of(client(tool=name)).name == kept


def test_script_of_one_run_is_asked_for_by_its_path_and_by_what_lasts_of_it() -> None:
    found = client(tool="jenkins123.sh", exe="/bin/sh", argv=["sh", "/tmp/jenkins123.sh"])
    assert list(names_of(found))[-2:] == ["/tmp/jenkins123.sh", "/tmp/jenkins*.sh"]


def test_program_that_was_replaced_is_the_same_tool() -> None:
    assert tool_of(client(exe="/usr/bin/python3.11 (deleted)")).name == "python3.11"

"""The tables say what the report says, and honestly where it says nothing."""

from dataclasses import replace
from operator import attrgetter
from xml.etree.ElementTree import Element

import pytest

from audit.page.sections import state_mark, tables
from audit.reporting.report import Blocker, Report, State
from tests.support.audit.sample_report import EMPTY_REPORT, command_use, sample_report

SAMPLE = sample_report()


def shown(report: Report, name: str) -> Element:
    return next(section for section in tables(report, attrgetter("name")) if section.get("id") == name)


def rows(report: Report, name: str) -> list[dict[str, str]]:
    """Return a section's table, by its headings."""
    section = shown(report, name)
    headings = [heading.text or "" for head in section.iter("thead") for heading in head.iter("th")]
    bodies = [row for body in section.iter("tbody") for row in body]
    return [dict(zip(headings, ("".join(cell.itertext()) for cell in row), strict=True)) for row in bodies]


def test_tools() -> None:
    found = rows(SAMPLE, "tools")
    assert [row["State"] for row in found] == ["blocked", *["covered by the shim"] * 4, "modern"]
    first = found[0]
    assert (first["Tool"], first["Runs in"], first["User"], first["Host"]) == (
        *("socat/usr/bin/socat", "login session", "alice", "kvm-02"),
    )
    assert (found[-1]["Tool"], found[-1]["Runs in"], found[-1]["Host"]) == (
        *("nightly.py/usr/bin/python3.11/usr/bin/python3.13", "backup.service", "3 hosts"),
    )
    assert (first["HMP"], first["Rewritten"], first["Passed"], first["Failed"], first["Silent"]) == (
        "405",
        "61",
        "344",
        "17",
        "9",
    )
    assert "info qtree: no QMP equivalent" in first["Blocked by, and what to do"]
    assert found[-1]["Last HMP (UTC)"] == "\N{EN DASH}"
    assert found[-1]["QMP's own"] == "388"


def test_many_blockers_are_folded_in_a_tools_row() -> None:
    blockers = tuple(Blocker(f"x{place}", "y") for place in range(100))
    report = replace(SAMPLE, tools=(replace(SAMPLE.tools[0], blockers=blockers),))
    assert rows(report, "tools")[0]["Blocked by, and what to do"].startswith("x0: yx1: yand 98 morex2: y")


def test_many_paths_of_a_program_are_folded() -> None:
    paths = tuple(f"/{place}/socat" for place in "abcd")
    several, unknown = (replace(SAMPLE.tools[0], executables=seen) for seen in (paths, ()))
    found = rows(replace(SAMPLE, tools=(several, unknown)), "tools")
    assert [row["Tool"] for row in found] == ["socat/a/socat/b/socatand 2 more/c/socat/d/socat", "socat"]


def test_commands_have_their_replacements() -> None:
    found = {row["Command"]: row["Replaced by"] for row in rows(SAMPLE, "commands")}
    assert found["info block"] == "query-block and query-named-block-nodes"
    assert found["info qtree"] == "no QMP equivalent"
    assert found["frobnicate"] == "no replacement known here"
    assert found["snapshot-save"] == "nothing: it is QMP's own"
    assert len(rows(SAMPLE, "commands")) == sum(len(use.commands) for use in SAMPLE.tools)


def test_counts_have_a_column_where_there_are_some() -> None:
    tool = replace(SAMPLE.tools[0], commands=(command_use("savevm", 3),))
    plain = rows(replace(SAMPLE, tools=(tool,)), "tools")[0]
    assert {"Observed", "No reply"} & plain.keys() == set()
    observed = replace(tool, commands=(command_use("savevm", 3, observed=2, unknown=1),))
    row = rows(replace(SAMPLE, tools=(observed,)), "tools")[0]
    assert {"Refused", "Failed", "Silent", "QMP's own"} & row.keys() == set()
    assert (row["Observed"], row["No reply"], row["Passed"]) == ("2", "1", "1")


def test_failures() -> None:
    assert [(row["Tool"], row["Count"]) for row in rows(SAMPLE, "failures")] == [
        *(("libvirtd", "11"), ("socat", "12"), ("socat", "2")),
        ("multipassd", "2"),
    ]
    first = rows(SAMPLE, "failures")[1]
    assert first["Text"] == "Error: Device 'pflash1' is writable but does not support snapshots"
    assert (first["Count"], first["Nodes"], first["VMs"]) == ("12", "pflash1virtio-disk0", "windows-2022-uefi")
    assert "pflash1: varstore of format raw, which cannot hold a snapshot" in first["What was decided, and why"]


def test_silent_failures_overwritings_and_standstills() -> None:
    assert rows(SAMPLE, "silent")[0]["What it did next"] == "loadvminfo snapshots"
    assert [(row["VM"], row["Count"]) for row in rows(SAMPLE, "overwritten")] == [("syz-0", "214"), ("build-debian-12", "3")]
    first = rows(SAMPLE, "standstill")[0]
    assert (first["Half of them within"], first["95 % within"], first["Longest"]) == ("1.84 s", "6.12 s", "9.41 s")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tools", "No tool used HMP, or QMP's snapshot commands."),
        ("commands", "No command was used."),
        ("failures", "No command failed."),
        ("silent", "No tool went on after a failure that only the reply's text reported."),
        ("overwritten", "No snapshot was overwritten."),
        ("standstill", "No VM stood still in a command."),
    ],
)
def test_empty_section_says_so(name: str, sentence: str) -> None:
    section = shown(EMPTY_REPORT, name)
    assert section.findtext("p") == sentence
    assert list(section.iter("table")) == []


def test_states_differ_in_shape_not_only_in_colour() -> None:
    shapes = [[child.get("d") for child in state_mark(state)] for state in State]
    assert len(shapes) == len({str(shape) for shape in shapes}) == 4

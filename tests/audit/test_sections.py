"""The tables say what the report says, and honestly where it says nothing."""

from dataclasses import replace
from xml.etree.ElementTree import Element

import pytest

from audit.page.sections import state_mark, tables
from audit.report import Blocker, Report, State
from tests.support.sample_report import EMPTY_REPORT, command_use, sample_report

SAMPLE = sample_report()


def shown(report: Report, name: str) -> Element:
    return next(section for section in tables(report) if section.get("id") == name)


def rows(report: Report, name: str) -> list[dict[str, str]]:
    """Return a section's table, by its headings."""
    section = shown(report, name)
    headings = [button.text or "" for button in section.iter("button")]
    bodies = [row for body in section.iter("tbody") for row in body]
    return [dict(zip(headings, ("".join(cell.itertext()) for cell in row), strict=True)) for row in bodies]


def test_tools() -> None:
    found = rows(SAMPLE, "tools")
    assert [row["State"] for row in found] == ["blocked", *["covered by the shim"] * 4, "modern"]
    first = found[0]
    assert (first["Tool"], first["User id"], first["Host"]) == ("/usr/bin/socat", "1000", "kvm-02")
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


def test_only_some_of_many_blockers_are_in_a_tools_row() -> None:
    blockers = tuple(Blocker(f"x{place}", "y") for place in range(100))
    report = replace(SAMPLE, tools=(replace(SAMPLE.tools[0], blockers=blockers),))
    assert rows(report, "tools")[0]["Blocked by, and what to do"].endswith("x7: yand 92 more, in the table of commands")


def test_commands_have_their_replacements() -> None:
    found = {row["Command"]: row["Replaced by"] for row in rows(SAMPLE, "commands")}
    assert found["info block"] == "query-block and query-named-block-nodes"
    assert found["info qtree"] == "no QMP equivalent"
    assert found["frobnicate"] == "not known to this table"
    assert found["snapshot-save"] == "nothing: it is QMP's own"
    assert len(rows(SAMPLE, "commands")) == sum(len(use.commands) for use in SAMPLE.tools)


def test_seldom_counts_have_a_column_where_there_are_some() -> None:
    tool = replace(SAMPLE.tools[0], commands=(command_use("savevm", 3),))
    plain = rows(replace(SAMPLE, tools=(tool,)), "tools")[0]
    assert {"Observed", "No reply"} & plain.keys() == set()
    observed = replace(tool, commands=(command_use("savevm", 3, observed=2, unknown=1),))
    row = rows(replace(SAMPLE, tools=(observed,)), "tools")[0]
    assert (row["Observed"], row["No reply"], row["Passed"]) == ("2", "1", "1")


def test_failures() -> None:
    first = rows(SAMPLE, "failures")[0]
    assert first["Text"] == "Error: Device 'pflash1' is writable but does not support snapshots"
    assert (first["Count"], first["Nodes"], first["VMs"]) == ("14", "pflash1virtio-disk0", "windows-2022-uefi")
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
        ("silent", "No tool went on after a failure that only the reply's text told."),
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
    assert len(shapes) == len({str(shape) for shape in shapes}) == 3

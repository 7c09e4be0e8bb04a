"""The findings for a terminal."""

from audit.scanning.rules.findings import FileFindings, Finding, Totals
from audit.scanning.scan_text import Tally, file_lines, summary_lines

FOUND = FileFindings(
    "a\x1b.py",
    (
        Finding(3, 5, "human-monitor-command", "savevm", True, 'x("savevm t")'),
        Finding(9, 1, "hmp()", "", False, "hmp(\x1b" + "x" * 100),
    ),
    accepted=1,
)


def test_lines_of_a_file() -> None:
    assert list(file_lines(FOUND, width=50)) == [
        "a\\x1b.py:3:5: savevm by human-monitor-command - snapshot-save (a job; delete the tag first to replace it)",
        '    x("savevm t")',
        "a\\x1b.py:9:1: a computed command by hmp() (look at it) - see what the command line is made of",
        "    hmp(\\x1b" + "x" * 37 + "…",
    ]


def test_summary() -> None:
    tally = Tally()
    tally.add(FOUND)
    tally.add(FileFindings("b", (), 1))
    totals = Totals(files=1200, other=3, binary=2, links=1, excluded=4, accepted=2, too_big=["big.c"])
    assert summary_lines(tally, totals, width=100) == [
        "2 findings in 1 file, 1 of them to look at; 1,200 sources read",
        "  1 x computed: see what the command line is made of",
        "  1 x savevm: snapshot-save (a job; delete the tag first to replace it)",
        "  accepted by a mark: 2",
        "  files in no known language: 3",
        "  binary files: 2",
        "  symbolic links, not followed: 1",
        "  left out by --exclude: 4",
        "  too big, not read: big.c",
    ]
    assert all(len(line) <= 40 for line in summary_lines(tally, totals, width=40))


def test_summary_names_the_files_with_most_findings() -> None:
    tally = Tally()
    for name, count in (("few", 1), ("most", 3), *((f"{number}\x1b", 2) for number in range(8))):
        tally.add(FileFindings(name, FOUND.findings[:1] * count))
    lines = summary_lines(tally, Totals(files=10), width=80, names_files=True)
    assert lines[2:] == ["  most: 3 findings", *(f"  {n}\\x1b: 2 findings" for n in range(7)), "  and 2 more files"]
    tally.files.popitem()
    assert summary_lines(tally, Totals(files=9), width=80, names_files=True)[-1] == "  few: 1 finding"


def test_summary_of_sure_findings_and_of_none() -> None:
    tally = Tally()
    assert summary_lines(tally, Totals(files=1), width=80) == ["no HMP found; 1 source read"]
    tally.add(FileFindings("a", FOUND.findings[:1]))
    assert summary_lines(tally, Totals(files=1), width=80)[0] == "1 finding in 1 file; 1 source read"

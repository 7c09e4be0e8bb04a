"""Logs become one report: several files, gzip, damage, and who is named first."""

import gzip
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.counting.filters import Filters
from audit.counting.report_builder import make_report
from audit.log.sources import Source
from audit.reporting.report import VM, Overwriting, SilentFailure, Standstill, State, Tool
from tests.support.audit.audit_records import a_record, log_of, report_of, sent
from tests.support.standard_input import standard_input, standard_input_from

TOOL, VM1 = Tool("tool", "", "1000"), VM("h1", "vm1")


def test_empty_log(tmp_path: Path) -> None:
    report = report_of(tmp_path)
    assert (report.log.records, report.log.first, report.log.last, report.tools, report.hmp_count) == (0, "", "", (), 0)


def test_several_logs_plain_and_compressed_are_one_report(tmp_path: Path) -> None:
    plain = log_of(tmp_path / "a", [a_record(day=2)])
    packed = tmp_path / "b.gz"
    packed.write_bytes(gzip.compress(json.dumps(a_record(day=1, host="h2")).encode() + b"\n"))
    report = make_report([plain, str(packed)], Filters())
    assert (report.log.records, report.log.first[:10], report.log.last[:10]) == (2, "2026-11-01", "2026-11-02")
    assert [use.hosts for use in report.tools] == [("h1", "h2")]
    assert report.log.names == (plain, str(packed))


def test_rotated_logs_are_read_in_order_of_time(tmp_path: Path) -> None:
    """What was begun in one file and ended in the next is not unfinished, in whatever order the shell names them."""
    time = "2026-11-24T10:00:00.000000Z"
    older = log_of(tmp_path / "log.1", [a_record(day=1), a_record(action="begun", time=time, reply=None, failed=None)])
    newer = log_of(tmp_path / "log", [a_record(time=time), a_record(day=25)])
    for paths in ([newer, older], [older, newer]):
        assert make_report(paths, Filters()).log.unfinished == 0


def test_standard_input_counts_as_the_newest(tmp_path: Path) -> None:
    """It can be read once only, so nobody looks at its first record before."""
    time = "2026-11-24T10:00:00.000000Z"
    begun = log_of(tmp_path / "log", [a_record(action="begun", time=time, reply=None, failed=None)])
    with standard_input(json.dumps(a_record(time=time)).encode()):
        report = make_report(["-", begun], Filters())
    assert (report.log.records, report.log.unfinished) == (2, 0)


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to, None], ids=["symbolic link", "hard link", "same name"])
def test_file_that_is_given_twice_is_counted_once(tmp_path: Path, link: Callable[[Path, str], None] | None) -> None:
    path = log_of(tmp_path / "log", [a_record(), a_record()])
    other = tmp_path / "other"
    if link is not None:
        link(other, path)
    report = make_report([path, path if link is None else str(other)], Filters())
    assert (report.log.records, report.hmp_count) == (2, 2)
    assert report.log.given_twice == (
        f"{path} is given twice, and is counted once"
        if link is None
        else f"{other} is the same file as {path}, and is counted once",
    )


def test_file_that_is_also_standard_input_is_counted_once(tmp_path: Path) -> None:
    path = log_of(tmp_path / "log", [a_record()])
    with open(path, "rb") as file, standard_input_from(file):
        report = make_report(["-", path], Filters())
    assert report.log.records == 1
    assert report.log.given_twice == (f"standard input is the same file as {path}, and is counted once",)


def test_log_that_is_not_there_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    report = make_report([missing, log_of(tmp_path / "log", [a_record()])], Filters())
    assert report.log.records == 1
    assert report.log.unreadable == (f"cannot read {missing}: No such file or directory",)


def test_compressed_log_that_is_cut_off_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    chance = random.Random(1)
    lines = [json.dumps(a_record(f"savevm {chance.random()}")).encode() + b"\n" for _ in range(2000)]
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"".join(lines))[:-5000])
    report = make_report([str(path)], Filters())
    assert 0 < report.log.records < 2000
    assert len(report.log.unreadable) == 1


def test_torn_last_line_is_counted_and_the_rest_is_used(tmp_path: Path) -> None:
    path = Path(log_of(tmp_path / "log", [a_record(), a_record()]))
    path.write_bytes(path.read_bytes()[:-20])
    log = make_report([str(path)], Filters()).log
    assert (log.records, log.damaged, log.torn) == (1, 1, 1)


def test_last_line_that_only_lacks_its_end_is_whole(tmp_path: Path) -> None:
    path = Path(log_of(tmp_path / "log", [a_record()]))
    path.write_bytes(path.read_bytes().rstrip())
    log = make_report([str(path)], Filters()).log
    assert (log.records, log.damaged, log.torn) == (1, 0, 0)


def test_blank_lines_are_no_damage(tmp_path: Path) -> None:
    path = Path(log_of(tmp_path / "log", [a_record()]))
    path.write_bytes(b"\n" + path.read_bytes() + b"\n\r\n")
    assert make_report([str(path)], Filters()).log.damaged == 0


def _damaged(line: bytes, chance: random.Random) -> bytes:
    """Spoil a line for certain, in one of the ways in which disks and writers do."""
    middle = chance.randrange(1, len(line) - 2)
    ways: list[bytes] = [
        line[:middle] + b"\n",
        line[:middle] + b"\0" * 20 + line[middle:],
        line[middle:],
        b"\xff" * chance.randrange(1, 50) + b"\n",
        json.dumps({"schema": 2}).encode() + b"\n",
        json.dumps(json.loads(line) | {"time": "garbage"}).encode() + b"\n",
        json.dumps(json.loads(line) | {"schema": 99}).encode() + b"\n",
    ]
    return chance.choice(ways)


@pytest.mark.parametrize("seed", range(5))
def test_one_percent_damaged_lines_lose_only_themselves(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    records = [a_record(f"savevm t{number}", exe=f"/bin/{number % 7}") for number in range(3000)]
    lines = [json.dumps(record).encode() + b"\n" for record in records]
    spoilt = set(chance.sample(range(3000), 30))
    path = tmp_path / "log"
    path.write_bytes(b"".join(_damaged(line, chance) if number in spoilt else line for number, line in enumerate(lines)))
    report = make_report([str(path)], Filters())
    assert (report.log.damaged, report.log.records) == (30, 2970)
    for use in report.tools:
        kept = [number for number in range(3000) if number % 7 == int(use.tool.name) and number not in spoilt]
        assert use.hmp_count == len(kept)


def test_logs_of_version_1_are_still_read(tmp_path: Path) -> None:
    old: dict[str, Any] = a_record("loadvm x", reply={"return": "Error: no\r\n"}, schema=1)
    for member in ("host", "execute", "hmp_command", "failed", "after_failure", "lost_before"):
        del old[member]
    (use,) = report_of(tmp_path, old).tools
    assert (use.seen_on, use.commands[0].name, use.commands[0].failed) == ("", "loadvm", 1)


def test_lines_with_a_syslog_header_are_read(tmp_path: Path) -> None:
    path = tmp_path / "syslog"
    line = json.dumps(a_record(), separators=(",", ":"))
    path.write_text(f"Nov 24 17:00:00 h1 hmp-proxy[12]: {line}\nNov 24 17:00:01 h1 cron[13]: hello\n")
    log = make_report([str(path)], Filters()).log
    assert (log.records, log.damaged) == (1, 1)


def test_blocked_tools_come_first_then_those_that_use_most(tmp_path: Path) -> None:
    report = report_of(
        *(tmp_path, a_record(None, exe="/bin/new", execute="snapshot-save", action="modern", reply={"return": {}})),
        *(a_record(exe="/bin/rare"), a_record(exe="/bin/often"), a_record(exe="/bin/often")),
        a_record("info block", exe="/bin/blocked", action="passed"),
    )
    assert [(use.tool.name, use.state) for use in report.tools] == [
        ("blocked", State.BLOCKED),
        ("often", State.COVERED),
        ("rare", State.COVERED),
        ("new", State.MODERN),
    ]
    assert [use.last_hmp != "" for use in report.tools] == [True, True, True, False]
    assert (report.hmp_count, report.modern_count) == (4, 1)


def test_outcomes(tmp_path: Path) -> None:
    failed = a_record("loadvm x", failed=True, reply={"return": "Error: no\r\n"})
    behind = a_record(None, execute="cont", action="went_on", reply=None, failed=None, after_failure="loadvm x")
    saves = [a_record(stopped_ms=float(ms), qmp=sent("snapshot-delete")) for ms in (1, 2, 3, 40)]
    recovered = a_record(None, execute=None, action="recovered", reply=None, failed=None)
    report = report_of(tmp_path, failed, behind, *saves, recovered)
    assert [failure.text for failure in report.failures] == ["Error: no"]
    assert report.silent_failures == (SilentFailure(TOOL, "loadvm", 1, ("cont",), behind["time"]),)
    assert report.overwritings == (Overwriting(TOOL, VM1, 4, ("t1",), saves[0]["time"], saves[0]["time"]),)
    assert report.standstills == (Standstill(VM1, "savevm", 4, 2.0, 40.0, 40.0),)
    assert (report.recovered, report.timeline_total, len(report.timeline)) == (1, 5, 5)


def test_what_is_left_to_qemu_counts_as_done_by_the_shim(tmp_path: Path) -> None:
    abandoned = a_record(action="abandoned", reply=None, failed=None)
    report = report_of(tmp_path, a_record(), a_record(action="delegated"), abandoned)
    (tool,) = report.tools
    (command,) = tool.commands
    assert (command.count, command.rewritten, command.passed, command.unknown) == (3, 2, 0, 1)
    assert tool.state is State.COVERED


def test_days(tmp_path: Path) -> None:
    modern = a_record(None, execute="snapshot-save", action="modern", reply={"return": {}}, day=2)
    failed = a_record(failed=True, reply={"return": "Error: no\r\n"}, day=2)
    report = report_of(tmp_path, failed, modern, a_record(day=1), a_record(day=1))
    assert report.days == {"2026-11-01": {TOOL: 2}, "2026-11-02": {TOOL: 1}}
    assert report.modern_days == {"2026-11-02": {TOOL: 1}}
    assert report.failed_days == {"2026-11-02": 1}


def test_filters_take_part_of_a_log(tmp_path: Path) -> None:
    filters = Filters(since="2026-11-02", until="2026-11-04")
    report = report_of(tmp_path, *(a_record(day=day) for day in range(1, 8)), filters=filters)
    assert (report.log.records, report.log.left_out, sorted(report.days)) == (2, 5, ["2026-11-02", "2026-11-03"])


def test_progress_is_told_now_and_then(tmp_path: Path) -> None:
    path = log_of(tmp_path / "log", [a_record() for _ in range(5000)])
    seen: list[tuple[str, int, bool]] = []

    def watch(source: Source, lines: int) -> None:
        seen.append((source.name, lines, 0 < source.position_bytes <= os.path.getsize(path)))

    make_report([path], Filters(), watch)
    assert seen == [(path, 2000, True), (path, 4000, True)]

"""Records become lines, what is confidential is masked, and what is lost is counted and told by the next record."""

import hashlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from host.audit_log.log import AuditLog, open_audit_log
from host.audit_log.losses import Losses
from host.errors import AuditError
from host.net.addresses import process
from host.settings.config import AuditFailure, AuditSettings
from shim.client import Client
from shim.hmp.line import HMPLine
from shim.records.audit import Action, AuditRecord
from shim.records.confidential import Confidential
from shim.records.identity import Identified
from tests.support.checkout import ROOT
from tests.support.routing.pure_router import NOW


@dataclass
class ListSink:
    """Keeps lines, or fails."""

    lines: list[bytes] = field(default_factory=list)
    is_broken: bool = False
    is_closed: bool = False

    def write(self, line: bytes) -> None:
        if self.is_broken:
            raise AuditError("sink", "broken")
        self.lines.append(line)

    def reopen(self) -> None:
        self.is_broken = False

    def close(self) -> None:
        self.is_closed = True

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def sink() -> ListSink:
    return ListSink()


def a_record(line: str = "savevm t", client: Client | None = None, **members: Any) -> AuditRecord:
    who = client or Client(1, 2, "/usr/bin/tool")
    what = HMPLine.read(line), Action.PASSED, "because", {"return": ""}
    return AuditRecord(NOW, "vm1", who, *what, 1, client_gone=False, **members)


def lose(log: AuditLog, sink: ListSink, count: int) -> None:
    sink.is_broken = True
    for _ in range(count):
        with pytest.raises(AuditError):
            log.write(a_record())
    sink.is_broken = False


def test_record_is_one_line_with_the_name_of_the_machine(sink: ListSink) -> None:
    AuditLog(sink, Losses("log")).write(a_record("savevm 'é\n'"))
    (record,) = sink.records
    assert (record["command_line"], record["host"], record["lost_before"]) == ("savevm 'é\n'", os.uname().nodename, 0)
    assert b"\n" not in sink.lines[0]


def test_next_record_tells_how_many_were_lost(sink: ListSink) -> None:
    log = AuditLog(sink, Losses("log"))
    log.write(a_record())
    lose(log, sink, 2)
    log.write(a_record())
    lose(log, sink, 1)
    log.write(a_record())
    log.write(a_record())
    assert [record["lost_before"] for record in sink.records] == [0, 2, 1, 0]
    assert log.losses.untold == 0


def test_refused_command_is_one_lost_record(sink: ListSink) -> None:
    log = AuditLog(sink, Losses("log"), refuses=True)
    sink.is_broken = True
    for _ in range(3):
        assert log.announce(a_record("savevm t")) is not None
        log.write_all([refused("savevm t")])
    assert (log.losses.untold, log.losses.ever) == (3, 3)
    sink.is_broken = False
    log.write_all([refused("savevm t")])
    assert [record["lost_before"] for record in sink.records] == [3]


def test_record_that_cannot_be_made_is_lost_too(sink: ListSink, caplog: pytest.LogCaptureFixture) -> None:
    log = AuditLog(sink, Losses("/log"))
    log.write_all([a_record(identify=Identified(cast(Any, None))), a_record()])
    assert [record["lost_before"] for record in sink.records] == [1]
    assert caplog.messages == ["a record is lost"]


def test_losses_at_the_end_are_told_by_no_record(sink: ListSink) -> None:
    log = AuditLog(sink, Losses("log"))
    lose(log, sink, 1)
    log.write(a_record())
    lose(log, sink, 2)
    log.close()
    assert sink.is_closed
    assert log.losses.untold == 2


def test_reopen_is_the_sinks(sink: ListSink) -> None:
    sink.is_broken = True
    AuditLog(sink, Losses("log")).reopen()
    assert not sink.is_broken


def test_what_is_confidential_is_masked(sink: ListSink) -> None:
    kinds = frozenset({Confidential.TAGS, Confidential.EXECUTABLES})
    AuditLog(sink, Losses("log"), redacts=kinds, key=b"k").write(a_record("savevm secret"))
    (record,) = sink.records
    assert record["command_line"].startswith("savevm tag-")
    assert record["client"]["exe"].startswith("exe-")


# -- opening --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log"


def commands(path: Path) -> list[str]:
    return [json.loads(line)["command_line"] for line in path.read_text().splitlines()]


def write_one(settings: AuditSettings, line: str) -> None:
    log = open_audit_log(settings)
    log.write(a_record(line))
    log.close()


@pytest.mark.parametrize("sync", [False, True])
def test_file(file: Path, sync: bool) -> None:
    file.write_text(json.dumps({"command_line": "earlier"}) + "\n")
    write_one(AuditSettings(str(file), sync=sync), "later")
    assert commands(file) == ["earlier", "later"]


def test_file_with_rotation(file: Path) -> None:
    for number in range(5):
        write_one(AuditSettings(str(file), rotate_bytes=10, keep=2), str(number))
    assert [commands(Path(f"{file}{end}")) for end in ("", ".1", ".2")] == [["4"], ["3"], ["2"]]
    assert len(list(file.parent.iterdir())) == 3


def test_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=f"cannot write the audit log {tmp_path}: Is a directory"):
        open_audit_log(AuditSettings(str(tmp_path)))


def test_log_that_fails_again_and_again_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    log = open_audit_log(AuditSettings(str(folder / "log"), failure=AuditFailure.REFUSE))
    assert log.announce(a_record("first")) is None
    for times in (1, 2):
        shutil.rmtree(folder)
        for number in range(5):
            assert log.announce(a_record(f"{number}")) is not None
        assert sum("; commands are refused until it can" in message for message in caplog.messages) == times
        folder.mkdir()
        assert log.announce(a_record("again")) is None
        assert caplog.messages[-1] == f"audit log {folder}/log: it can be written again; records lost meanwhile: 0"
    log.close()


def test_command_is_not_run_once_the_logs_folder_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    log = open_audit_log(AuditSettings(str(folder / "log"), failure=AuditFailure.REFUSE))
    assert log.write_ahead(a_record("first")) is None
    shutil.rmtree(folder)
    unrecorded = log.write_ahead(a_record("second"))
    assert unrecorded is not None
    assert unrecorded.startswith(f"cannot write the audit log {folder}/log: the file was removed")
    assert unrecorded.endswith("; the command was not run")
    folder.mkdir()
    log.write(a_record("third"))
    log.close()
    (record,) = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    # The refusal of the second is what is recorded of it.
    assert (record["command_line"], record["lost_before"]) == ("third", 0)


@pytest.mark.parametrize("failure", list(AuditFailure))
def test_whether_commands_are_refused(file: Path, failure: AuditFailure) -> None:
    log = open_audit_log(AuditSettings(str(file), failure=failure))
    assert log.refuses is (failure is AuditFailure.REFUSE)
    log.close()


def test_syslog(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / "s"))
        log = open_audit_log(AuditSettings(f"syslog:{tmp_path / 's'}"), program="hmp-repl")
        log.write(a_record())
        head, _, record = daemon.recv(65536).partition(b": ")
        log.close()
    assert head.endswith(f" hmp-repl[{os.getpid()}]".encode())
    assert json.loads(record)["command_line"] == "savevm t"


def test_standard_output() -> None:
    script = (
        "from host.audit_log.log import open_audit_log; from host.settings.config import AuditSettings; "
        "from tests.host.audit_log.test_log import a_record; open_audit_log(AuditSettings('-')).write(a_record())"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    assert json.loads(done.stdout)["command_line"] == "savevm t"


def test_each_destination_has_its_sink(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    log = open_audit_log(AuditSettings("-"))
    log.write(a_record())
    log.close()
    assert json.loads(capfdbinary.readouterr().out)["command_line"] == "savevm t"


def test_sinks_that_are_not_used_are_not_loaded() -> None:
    script = "import sys, proxy.process.daemon; print([name for name in sys.modules if name.startswith('host.audit_log.')])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True, text=True)
    assert sorted(eval(done.stdout)) == ["host.audit_log.log", "host.audit_log.losses"]


# -- the key of the pseudonyms --------------------------------------------------------------------------------------------


def pseudonym(folder: Path, name: str, key: str = "") -> str:
    write_one(AuditSettings(str(folder / name), redact=frozenset(Confidential), key=key), "savevm secret")
    (line,) = commands(folder / name)
    return line


def test_pseudonyms_of_a_key_stay_the_same(tmp_path: Path) -> None:
    keys = [tmp_path / "key", tmp_path / "other"]
    for key in keys:
        key.touch(0o600)
        key.write_bytes(key.name.encode() * 8)
    first = pseudonym(tmp_path, "a", str(keys[0]))
    assert pseudonym(tmp_path, "b", str(keys[0])) == first != pseudonym(tmp_path, "c", str(keys[1]))


def test_without_a_key_they_are_a_processs_own(tmp_path: Path) -> None:
    assert pseudonym(tmp_path, "a") != pseudonym(tmp_path, "b")


def test_key_that_cannot_be_read_opens_no_log(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=f"cannot write the audit log {tmp_path}/log: its key {tmp_path}/key: No such file"):
        pseudonym(tmp_path, "log", str(tmp_path / "key"))


# -- what clients choose --------------------------------------------------------------------------------------------------


def refused(line: str) -> AuditRecord:
    asker = Client(1, 2, "/usr/bin/tool")
    reply = {"return": "Error: not allowed\r\n"}
    return AuditRecord(NOW, "vm1", asker, HMPLine.read(line), Action.REFUSED, "not allowed", reply, 1, client_gone=False)


def test_long_commands_do_not_push_the_history_out(file: Path) -> None:
    """Twelve commands of 360 KB, and a log that is put aside at a MiB and kept once."""
    log = open_audit_log(AuditSettings(str(file), rotate_bytes=1024 * 1024, keep=1))
    log.write(a_record("savevm first"))
    for _ in range(12):
        log.write(a_record("x" * 360_000))
    log.close()
    assert commands(file)[0] == "savevm first"
    record = json.loads(file.read_text().splitlines()[-1])
    assert record["command_line"] == "x" * 2048
    whole = hashlib.sha256(b"x" * 360_000).hexdigest()
    assert record["cut"] == [{"member": "command_line", "characters": 360_000, "sha256": whole}]


def test_sum_of_what_was_cut_is_keyed_where_something_is_masked(sink: ListSink) -> None:
    log = AuditLog(sink, Losses("log"), redacts=frozenset({Confidential.TAGS}), key=b"k")
    log.write(a_record("drive_add " + "secret" * 1000))
    (record,) = sink.records
    assert "secret" not in json.dumps(record)
    assert hashlib.sha256(b"drive_add " + b"secret" * 1000).hexdigest() not in json.dumps(record)
    assert record["cut"][0]["sha256"].startswith("sum-")


def test_refusals_are_counted_beyond_a_rate(sink: ListSink) -> None:
    now_s = [0.0]
    log = AuditLog(sink, Losses("log"), now_s=lambda: now_s[0])
    for _ in range(1000):
        log.write(refused("stop"))
    assert [record["repeated"] for record in sink.records] == [0] * 10
    now_s[0] = 61
    log.write(a_record())
    assert [(record["command_line"], record["repeated"]) for record in sink.records[10:]] == [("stop", 989), ("savevm t", 0)]


def test_refusals_that_were_counted_are_told_at_the_end(sink: ListSink) -> None:
    log = AuditLog(sink, Losses("log"))
    for _ in range(12):
        log.write(refused("stop"))
    log.close()
    assert [record["repeated"] for record in sink.records] == [0] * 10 + [1]


def test_refusals_that_were_counted_can_be_lost(sink: ListSink) -> None:
    now_s = [0.0]
    log = AuditLog(sink, Losses("log"), now_s=lambda: now_s[0])
    for _ in range(15):
        log.write(refused("stop"))
    sink.is_broken = True
    now_s[0] = 61
    with pytest.raises(AuditError):
        log.write(a_record())
    assert log.losses.untold == 6
    sink.is_broken = False
    log.write(a_record())
    assert sink.records[-1]["lost_before"] == 6


def test_loss_of_what_was_counted_is_an_error_also_at_a_refusal_that_is_only_counted(sink: ListSink) -> None:
    now_s = [0.0]
    log = AuditLog(sink, Losses("log"), now_s=lambda: now_s[0])
    for _ in range(12):
        log.write(refused("stop"))
    now_s[0] = 30
    for _ in range(10):
        log.write(refused("cont"))
    sink.is_broken = True
    now_s[0] = 61
    with pytest.raises(AuditError):
        log.write(refused("cont"))
    assert log.losses.untold == 2


def test_whose_tool_a_client_is_stands_in_its_record() -> None:
    sink, client = ListSink(), process(os.getpid(), os.getuid())
    log = AuditLog(sink, Losses("log"))
    log.write(a_record(client=client, identify=log.identify(client)))
    (record,) = sink.records
    assert record["client"]["user"] == pwd.getpwuid(os.getuid()).pw_name
    assert record["client"]["argv"]

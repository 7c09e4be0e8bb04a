"""`python -m bench` runs, prints its table, and leaves nothing behind. How long anything takes is not tested."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S

MARK: Final = "HMPSHIM_BENCH_TEST"
pytestmark = [pytest.mark.bench, pytest.mark.matrix]

TWO_WORKLOADS: Final = ("--quick", "--only", "ping", "--only", "pipelined")


class Bench:
    """A run of the benchmark. All that it starts has a mark in its environment."""

    def __init__(self, *arguments: str) -> None:
        self._mark = f"{MARK}={secrets.token_hex(8)}"
        name, _, value = self._mark.partition("=")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench", *arguments],
            cwd=ROOT,
            env=os.environ | {name: value},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def processes(self) -> list[str]:
        """Return the command lines of what runs with the mark."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self._mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue  # ended meanwhile, or not ours
        return found

    def files(self) -> list[Path]:
        return [path for place in ("/dev/shm", "/tmp") for path in Path(place).glob(f"hmpshim-bench-{self.process.pid}-*")]

    def wait(self) -> tuple[int, str, str]:
        """Return exit status, standard output and standard error."""
        try:
            output, errors = self.process.communicate(timeout=3 * DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            output, errors = self.process.communicate()
        return self.process.returncode, output, errors


def row(table: str, begin: str) -> str:
    return next(line for line in table.splitlines() if line.startswith(begin))


@pytest.mark.parametrize(
    "options",
    [(), ("--python-load",), ("--rule", "deny quit, @monitor")],
    ids=["compiled if possible", "in Python", "with a rule"],
)
def test_quick_run_prints_ratios_and_leaves_nothing(options: tuple[str, ...]) -> None:
    bench = Bench(*TWO_WORKLOADS, *options)
    status, output, errors = bench.wait()
    assert (status, errors) == (0, "")
    assert "÷ socat" in row(output, "ping") or "socat is left out" in output
    assert "÷ socat" in row(output, "100 pipelined") or "socat is left out" in output
    assert "pinned to core" in row(output, "CPU")
    assert bench.processes() == []
    assert bench.files() == []


def test_json_has_the_numbers_of_every_round() -> None:
    status, output, _ = Bench("--quick", "--only", "ping", "--json").wait()
    assert status == 0
    (ping,) = json.loads(output)["measurements"]
    assert len(ping["p50_ns"]["hmp-proxy"]) == 3
    assert all(len(figure["rounds"]) == 3 for figure in ping["figures"])


def test_forwarded_command_reaches_qemu_byte_for_byte() -> None:
    status, output, _ = Bench("--only", "bytes", "--json").wait()
    assert status == 0
    figures = {figure["name"]: figure["median"] for figure in json.loads(output)["measurements"][0]["figures"]}
    assert figures["bytes added or changed"] == 0


def test_prompt_is_measured_beside_the_import_of_its_libraries() -> None:
    bench = Bench("--quick", "--only", "prompt", "--json")
    status, output, errors = bench.wait()
    assert (status, errors) == (0, "")
    figures = {figure["name"]: figure for figure in json.loads(output)["measurements"][0]["figures"]}
    assert figures["÷ import"]["median"] > 0
    assert len(figures["start to prompt"]["rounds"]) == 3
    assert bench.processes() == []
    assert bench.files() == []


def test_host_is_measured_with_and_without_clients() -> None:
    bench = Bench("--quick", "--only", "host", "--json")
    status, output, errors = bench.wait()
    assert (status, errors) == (0, "")
    figures = {figure["name"]: figure["median"] for figure in json.loads(output)["measurements"][0]["figures"]}
    assert figures["VMs"] == 100
    assert figures["resident, 2 clients each"] > figures["resident"] > 0
    assert bench.processes() == []
    assert bench.files() == []


def test_wrapped_start_is_measured_beside_the_bare_one_and_the_proxys_own() -> None:
    bench = Bench("--quick", "--only", "wrapper", "--json")
    status, output, errors = bench.wait()
    assert (status, errors) == (0, "")
    figures = {figure["name"]: figure for figure in json.loads(output)["measurements"][0]["figures"]}
    assert figures["wrapped: start to greeting"]["median"] > figures["bare: start to greeting"]["median"] > 0
    assert len(figures["greeting: added ÷ own start"]["rounds"]) == 3
    assert bench.processes() == []
    assert bench.files() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_leaves_nothing(number: signal.Signals) -> None:
    bench = Bench("--only", "ping")
    deadline = time.monotonic() + DEADLINE_S
    # Its own process, and at least the relays.
    while len(bench.processes()) < 4 and time.monotonic() < deadline:
        assert bench.process.poll() is None
    bench.process.send_signal(number)
    status, output, errors = bench.wait()
    assert (status, output, errors) == (128 + number, "", "bench: interrupted\n")
    assert bench.processes() == []
    assert bench.files() == []


def test_unknown_name_is_refused() -> None:
    status, _, errors = Bench("--only", "pong").wait()
    assert status == 2
    assert "pong" in errors


def test_report_is_measured_beside_a_loop_that_decodes() -> None:
    bench = Bench("--quick", "--only", "report", "--json")
    status, output, errors = bench.wait()
    assert (status, errors) == (0, "")
    figures = {figure["name"]: figure for figure in json.loads(output)["measurements"][0]["figures"]}
    assert figures["÷ json.loads"]["target"] == 2
    assert figures["resident at most"]["target"] == 150
    assert len(figures["report"]["rounds"]) == 2
    assert bench.processes() == []
    assert bench.files() == []

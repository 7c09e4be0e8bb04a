"""`python -m bench`: measure, print, and leave nothing behind."""

import os
import sys
from collections.abc import Iterator

from bench.errors import BenchError
from bench.facts import is_pgo, machine_facts, qemu_version
from bench.fleet import Fleet
from bench.interrupt import Interrupted, Interrupts
from bench.measures.audit import measure_report
from bench.measures.costs import measure_bytes, measure_growth, measure_process, resident_mib
from bench.measures.host import measure_host
from bench.measures.neighbours import measure_neighbours
from bench.measures.prompt import measure_prompt
from bench.measures.real import measure_pings, measure_snapshots
from bench.measures.survey import measure_surveys
from bench.measures.workloads import QEMU_WORKLOADS, measure, start_stub_relays, workloads
from bench.measures.wrapper import measure_wrapper
from bench.options import Options, parse_command_line
from bench.programs import Programs, make_programs
from bench.report import as_json, as_table
from bench.results import Measurement
from bench.targets import PROXY, absent_relays
from tests.integration.qemu_vm import QEMUError

__all__ = ["main"]


def main() -> int:
    """Measure what the command line names, and return the exit status."""
    options = parse_command_line(sys.argv[1:])
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})  # children inherit it
    interrupts = Interrupts()
    fleet = None
    try:
        fleet = Fleet(interrupts, options.proxy_options)
        print(_page(fleet, options, core), flush=True)
    except Interrupted as exc:
        return _give_up("interrupted", exc.exit_status)
    except (BenchError, QEMUError, OSError, EOFError) as exc:
        return _give_up(str(exc), 1)
    finally:
        interrupts.ignore()
        if fleet is not None:
            fleet.close()
    return 0


def _page(fleet: Fleet, options: Options, core: int) -> str:
    programs = make_programs(fleet, use_c=options.use_c)
    measurements = []
    for measurement in _measurements(fleet, programs, options):
        _say(f"measured: {measurement.name}")
        measurements.append(measurement)
    show = as_json if options.is_json else as_table
    return show(machine_facts(core, programs.language), measurements, _notes(options))


def _measurements(fleet: Fleet, programs: Programs, options: Options) -> Iterator[Measurement]:
    yield from _through_relays(fleet, programs, options)
    if "process" in options.only:
        yield measure_process(fleet, programs, is_quick=options.is_quick)
    if "host" in options.only:
        yield measure_host(fleet, programs, is_quick=options.is_quick)
    if "neighbours" in options.only:
        yield measure_neighbours(fleet, programs, is_quick=options.is_quick)
    if "bytes" in options.only:
        yield measure_bytes(fleet, programs)
    if qemu_version() is None:
        return
    if options.only & {workload.name for workload in QEMU_WORKLOADS}:
        yield from measure_pings(fleet, programs, set(options.only), is_quick=options.is_quick)
    if "report" in options.only:
        yield measure_report(fleet, is_quick=options.is_quick)
    if "prompt" in options.only:
        yield measure_prompt(fleet, is_quick=options.is_quick)
    if "wrapper" in options.only:
        yield from measure_wrapper(fleet, programs, is_quick=options.is_quick)
    if "snapshots" in options.only:
        yield measure_snapshots(fleet, is_quick=options.is_quick)
    if "survey" in options.only:
        yield from measure_surveys(fleet, is_quick=options.is_quick)


def _through_relays(fleet: Fleet, programs: Programs, options: Options) -> Iterator[Measurement]:
    wanted = [workload for workload in workloads(is_pgo=is_pgo()) if workload.name in options.only]
    if not wanted:
        return
    targets = start_stub_relays(fleet, programs, "relay")
    proxy = targets[PROXY].process
    assert proxy is not None
    idle_mib = resident_mib(proxy.pid)
    for workload in wanted:
        yield measure(fleet, programs, targets, workload, is_quick=options.is_quick)
    if "growth" in options.only:
        yield measure_growth(proxy.pid, idle_mib)


def _notes(options: Options) -> list[str]:
    notes = [f"{name} is left out: {reason}." for name, reason in absent_relays().items()]
    if qemu_version() is None:
        notes.append("The workloads on a real QEMU are left out: qemu-system-x86_64 or qemu-img is not installed.")
    if options.is_quick:
        notes.append("A quick run has few rounds and short floods: take its numbers for their order of size.")
    notes += [f"The clients of hmp-proxy obey this rule: {rule}." for rule in options.rules]
    return notes


def _say(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{text}\n")


def _give_up(reason: str, exit_status: int) -> int:
    sys.stderr.write(f"bench: {' '.join(reason.split())}\n")
    return exit_status


if __name__ == "__main__":
    sys.exit(main())

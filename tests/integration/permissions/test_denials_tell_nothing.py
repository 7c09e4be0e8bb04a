"""Neither the text nor the time of a denial tells whether QEMU has such a command.

Times are compared as distributions, by the Mann-Whitney test, in one shuffled order, so that whatever else the machine does
falls on both sides alike. There is no limit in seconds. A difference that is there is found: the same test tells a denied
command from one that QEMU answers.
"""

import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest

from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM
from tests.support.raw_client import RawClient, command_bytes

ROUNDS: Final = 400
# Of 10,000 comparisons of what is the same, one has a greater value by chance.
MOST_Z: Final = 3.9
# QEMU has those of the first row; those of the second are as long. The snapshot commands of QMP are not among them: they are
# put on record, which takes its time, by their names and whatever QEMU has.
EXISTING: Final = ("quit", "migrate", "device_del", "system_reset", "object-add", "block-commit")
MADE_UP: Final = ("quix", "migrope", "devise_del", "system_rezet", "object-odd", "block-comnit")
HMP_EXISTING: Final = ("quit", "savevm", "system_reset", "commit", "gdbserver", "nmi")
HMP_MADE_UP: Final = ("quix", "savevn", "system_rezet", "comnit", "gdbservix", "nmj")


def spelled(name: str) -> bytes:
    return command_bytes(name, id=1)


def spelled_hmp(line: str) -> bytes:
    return command_bytes("human-monitor-command", {"command-line": line}, 1)


def answered(client: RawClient, command: bytes) -> tuple[int, bytes]:
    """Return how long an answer took, and the answer."""
    begun_ns = time.perf_counter_ns()
    client.send(command)
    answer = client.read_until_reply()[-1]
    return time.perf_counter_ns() - begun_ns, answer


def z_value(first: Sequence[int], second: Sequence[int]) -> float:
    """Return by how many standard deviations two samples are apart (Mann and Whitney, 1947)."""
    ranked = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    rank_sum = sum(rank for rank, (_, side) in enumerate(ranked, 1) if side == 0)
    n, m = len(first), len(second)
    u = rank_sum - n * (n + 1) / 2
    return (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)


def compare(client: RawClient, spell: Callable[[str], bytes], first: Sequence[str], second: Sequence[str]) -> float:
    asked = [(name, side) for side, names in enumerate((first, second)) for name in names] * (ROUNDS // len(first))
    random.Random(1).shuffle(asked)
    times: tuple[list[int], list[int]] = ([], [])
    for name, side in asked:
        times[side].append(answered(client, spell(name))[0])
    return z_value(*times)


@pytest.fixture(scope="module")
def vm() -> Any:
    with QEMUVM() as running:
        yield running


def test_texts_differ_in_the_name_only(vm: QEMUVM) -> None:
    with ProxyProcess(vm.folder, vm.qmp_path, ["--role", "read-only"]) as proxy, proxy.negotiated() as client:
        for spell, names in ((spelled, (EXISTING, MADE_UP)), (spelled_hmp, (HMP_EXISTING, HMP_MADE_UP))):
            first, second = (
                {answered(client, spell(name))[1].replace(f"'{name}'".encode(), b"NAME") for name in row} for row in names
            )
            assert first == second
            assert len(first) == 1


@pytest.mark.parametrize(
    ("spell", "existing", "made_up"),
    [(spelled, EXISTING, MADE_UP), (spelled_hmp, HMP_EXISTING, HMP_MADE_UP)],
    ids=["qmp", "hmp"],
)
@pytest.mark.parametrize("options", [("--role", "read-only"), ("--rule", "deny *")], ids=["role", "rule"])
def test_time_does_not_tell_whether_there_is_such_a_command(
    vm: QEMUVM, options: Sequence[str], spell: Callable[[str], bytes], existing: Sequence[str], made_up: Sequence[str]
) -> None:
    with ProxyProcess(vm.folder, vm.qmp_path, options) as proxy, proxy.negotiated() as client:
        # Chance may be against it once.
        assert any(abs(compare(client, spell, existing, made_up)) < MOST_Z for _ in range(2))


def test_a_difference_would_be_found(vm: QEMUVM) -> None:
    with ProxyProcess(vm.folder, vm.qmp_path, ["--role", "read-only"]) as proxy, proxy.negotiated() as client:
        assert abs(compare(client, spelled, ["query-name"] * 6, EXISTING)) > 2 * MOST_Z


def test_value_of_samples_that_are_known() -> None:
    assert z_value([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(-2.309, abs=0.001)
    assert z_value([1, 4, 5, 8], [2, 3, 6, 7]) == 0

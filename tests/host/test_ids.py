"""Ids are the run's own, and QEMU takes them for jobs."""

import re

from host.ids import own_ids


def test_ids_have_the_prefix_and_differ_within_a_run_and_between_runs() -> None:
    sources = [own_ids("hmpshim-") for _ in range(100)]
    made = [source() for source in sources for _ in range(3)]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"hmpshim-[0-9a-f]{8}-[123]", one) for one in made)

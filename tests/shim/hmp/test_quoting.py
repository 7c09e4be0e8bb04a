"""A spelled tag is read as that tag, whatever characters it has."""

import random

import pytest

from shim.hmp.line import HMPLine, LoadVM
from shim.hmp.quoting import in_quotes, quote_tag
from tests.support.shim.hmp_lines import TAGS, UNWRITABLE_TAGS


@pytest.mark.parametrize("tag", TAGS)
def test_tag_is_quoted_only_where_it_must_be(tag: str) -> None:
    assert quote_tag(tag) == TAGS[tag]
    assert HMPLine.read(f"loadvm {TAGS[tag]}").command == LoadVM(tag)


@pytest.mark.parametrize("tag", TAGS)
def test_every_tag_may_stand_in_quotes(tag: str) -> None:
    assert HMPLine.read(f"loadvm {in_quotes(tag)}").command == LoadVM(tag)


@pytest.mark.parametrize("tag", UNWRITABLE_TAGS, ids=range(len(UNWRITABLE_TAGS)))
def test_what_hmp_cannot_read_has_no_spelling(tag: str) -> None:
    assert quote_tag(tag) is None


@pytest.mark.parametrize("seed", range(10))
def test_random_tag_is_written_so_that_it_is_read_again(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(300):
        tag = "".join(rng.choices(" \t\n\r\v\f\"\\'nr/at\0é\ufeff", k=rng.randrange(6)))
        written = quote_tag(tag)
        assert written is not None
        assert HMPLine.read(f"loadvm {written}").command == LoadVM(tag)

"""An intent's written form, and the internal tag."""

import json
from typing import Any

import pytest

from shim.plans.intent import INTERNAL_PREFIX, Intent, InternalTag, internal_tag, read_internal_tag

INTENT = Intent("t é", "hmpshim-1-t é", "#block1", ("#block1", "b"), "hmpshim-2")


@pytest.mark.parametrize("intent", [INTENT, Intent("", None, "a", (), "j")])
def test_written_form_brings_it_back(intent: Intent) -> None:
    assert Intent.from_members(json.loads(json.dumps(intent.to_members()))) == intent


@pytest.mark.parametrize("key", INTENT.to_members())
@pytest.mark.parametrize("wrong", [5, [5], {"a": 1}, None], ids=repr)
def test_anything_else_is_refused(key: str, wrong: Any) -> None:
    if key == "internal_tag" and wrong is None:
        return
    with pytest.raises((KeyError, TypeError)):
        Intent.from_members(INTENT.to_members() | {key: wrong})
    with pytest.raises(KeyError):
        Intent.from_members({name: value for name, value in INTENT.to_members().items() if name != key})


@pytest.mark.parametrize("tag", ["t", "é" * 200, "x" * 1000, "", "\ud800"])
def test_internal_tag_fits_qemus_buffer_and_shows_the_tag(tag: str) -> None:
    made = internal_tag(f"{INTERNAL_PREFIX}1", tag)
    assert len(made.encode()) <= 255
    assert made.startswith("hmpshim-1-" + tag[:100].replace("\ud800", "?"))


RUN = f"hmpshim-{'0a' * 8}-{'1b' * 4}-"


@pytest.mark.parametrize(
    ("name", "read"),
    [
        (f"{RUN}12-t", InternalTag(RUN, "t")),
        (f"{RUN}1-a b\n-c", InternalTag(RUN, "a b\n-c")),
        (f"{RUN}1-", InternalTag(RUN, "")),
        (f"hmprepl-{'1b' * 4}-3-t", InternalTag(f"hmprepl-{'1b' * 4}-", "t")),
        (f"hmprepl-{'0a' * 8}-{'1b' * 4}-3-t", InternalTag(f"hmprepl-{'0a' * 8}-{'1b' * 4}-", "t")),
        (internal_tag(f"{RUN}1", "x" * 300), InternalTag(RUN, None)),
        *((name, None) for name in ("t", "hmpshim-t", "hmpshim-1-t", f"x{RUN}1-t", f"{RUN}-t", RUN)),
    ],
)
def test_internal_tag_is_read_back(name: str, read: InternalTag | None) -> None:
    assert read_internal_tag(name) == read

"""All mistakes of a value are told at once, each with its place."""

import pytest

from host.settings.bad_value import BadValue, Wrong, meant_by, read_list, read_one, unknown_key, within


def small(value: int) -> int:
    if value > 9:
        raise ValueError(f"{value} is too much")
    return value


def test_all_wrong_elements_are_told_with_their_places() -> None:
    assert read_list([1, 2], small) == [1, 2]
    assert read_list([], small) == []
    with pytest.raises(BadValue) as caught:
        read_list([10, 1, 11], small, "rule")
    assert caught.value.wrong == (Wrong("rule 1: 10 is too much", (0,)), Wrong("rule 3: 11 is too much", (2,)))
    assert str(caught.value) == "rule 1: 10 is too much; rule 3: 11 is too much"


def test_places_lead_through_all_parts() -> None:
    wrong: list[Wrong] = []
    assert within("key", "key", lambda value: read_list(value, small), [1, 10], wrong) is None
    assert within("other", "other", small, 1, wrong) == 1
    assert wrong == [Wrong("key: item 2: 10 is too much", ("key", 1))]


def test_other_errors_of_a_value_become_its_mistake() -> None:
    assert read_one(1, small) == 1
    with pytest.raises(BadValue, match=r"^10 is too much$"):
        read_one(10, small)


def test_key_that_is_unknown_comes_with_those_that_may_be_meant() -> None:
    known = ("policy", "listen", "allow", "certificate")
    assert meant_by("polcy", known) == ["policy"]
    assert meant_by("permit", known) == []
    assert unknown_key("polcy", known, "see there") == "unknown key; did you mean 'policy'?"
    assert unknown_key("x" * 5000, known, "see there") == "unknown key; see there"

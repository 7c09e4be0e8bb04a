"""Names that begin as what is typed. tests/repl/completing/test_completion.py has HMP's quotes in lines."""

from repl.completing.names import Suggestion, matching, matching_word, named, split_words, with_prefix
from repl.completion_data import Named


def test_same_case_comes_first_and_no_name_twice() -> None:
    found = with_prefix("a", [Named("Ab", "1"), Named("aa", "2"), Named("aa", "3"), Named("b", "4")])
    assert [(one.name, one.meta) for one in found] == [("aa", "2"), ("Ab", "1")]


def test_suggestion_replaces_what_is_typed() -> None:
    assert matching("x", named(("xy", "z"), "m")) == [Suggestion("xy", -1, "m")]
    assert matching_word("x", named(("x y",))) == [Suggestion('"x y"', -1)]
    assert matching_word("a b", named(("a b",))) == []


def test_words() -> None:
    assert split_words("a b") == ["a", "b"]
    assert split_words("a ") == ["a", ""]
    assert split_words('"a b" "c') == ['"a b"', '"c']
    assert split_words('"a"b') is None

"""Names that look like another one."""

from shim.nearest import did_you_mean, nearest


def test_nearest_names_come_first() -> None:
    known = ("policy", "listen", "hmp_listen", "Stop")
    assert nearest("lisen", known, most=2) == ["listen", "hmp_listen"]
    assert nearest("lisen", known, most=1) == ["listen"]
    assert nearest("lisen", known, most=2, likeness=0.7) == ["listen"]
    assert nearest("STOPP", known, most=1) == ["Stop"]
    assert nearest("x", known, most=3) == []


def test_question_names_all() -> None:
    assert did_you_mean(["a"]) == "did you mean 'a'?"
    assert did_you_mean(["a", "b"]) == "did you mean 'a' or 'b'?"
    assert did_you_mean([]) == ""

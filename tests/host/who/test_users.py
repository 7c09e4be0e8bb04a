"""Names of users are looked up seldom."""

import os
import pwd

from host.who.users import Users


def test_name_is_that_of_the_machine() -> None:
    assert Users().name(os.getuid()) == pwd.getpwuid(os.getuid()).pw_name


def test_number_without_a_name() -> None:
    assert Users().name(4_000_000_000) is None
    assert Users().name(1 << 40) is None


def test_each_is_asked_for_once_in_five_minutes() -> None:
    asked: list[int] = []
    now_s = [0.0]

    def look_up(uid: int) -> str:
        asked.append(uid)
        return f"u{uid}"

    users = Users(look_up, lambda: now_s[0])
    for moment in (0.0, 299.0, 301.0):
        now_s[0] = moment
        assert [users.name(uid) for uid in (1, 2)] == ["u1", "u2"]
    assert asked == [1, 2, 1, 2]


def test_few_are_kept() -> None:
    asked: list[int] = []
    users = Users(lambda uid: asked.append(uid))
    for uid in range(1025):
        users.name(uid)
    users.name(1024)
    users.name(0)
    assert len(asked) == 1026

"""Modes, users and groups as an operator writes them."""

import grp
import os
import pwd
from collections.abc import Callable

import pytest

from host.net.socket_access import SocketAccess, group_id, parse_mode, user_id


def test_socket_is_its_owners_only_where_nothing_is_said() -> None:
    assert SocketAccess() == SocketAccess(0o600, None, None)


@pytest.mark.parametrize(("text", "mode"), [("0600", 0o600), ("660", 0o660), ("0777", 0o777), ("000", 0)])
def test_mode(text: str, mode: int) -> None:
    assert parse_mode(text) == mode


@pytest.mark.parametrize("text", ["", "6", "60", "0800", "1777", "4755", "u+rw", "0o600", "-600", "06000", "٠٦٠٠"])
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(ValueError, match="is not a mode; write it in octal, from 0000 to 0777, such as 0660"):
        parse_mode(text)


def test_user_and_group_by_name_and_number() -> None:
    own = pwd.getpwuid(os.geteuid())
    assert user_id(own.pw_name) == own.pw_uid
    assert group_id(grp.getgrgid(own.pw_gid).gr_name) == own.pw_gid
    assert (user_id("64055"), group_id("0")) == (64055, 0)


@pytest.mark.parametrize(("find", "kind"), [(user_id, "user"), (group_id, "group")])
@pytest.mark.parametrize("text", ["", "no such one", "-1", "4294967295", "9" * 5000, "٣", "a\0b", "é"])
def test_what_is_no_account(find: Callable[[str], int], kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"there is no {kind} '.*' on this machine; write a name or a number"):
        find(text)

"""Which pager long output goes through."""

from pathlib import Path

import pytest

from repl.outlets.pager import Pager, command_of


@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ({"PAGER": "most -s"}, "most -s"),
        ({"PAGER": "most", "HMPSHIM_PAGER": " less -S "}, "less -S"),
        ({"PAGER": "most", "HMPSHIM_PAGER": ""}, ""),
        ({"PAGER": " cat "}, ""),
        ({"PAGER": ""}, ""),
    ],
)
def test_person_says_which(environment: dict[str, str], command: str) -> None:
    assert command_of(environment | {"PATH": ""}) == command


def test_settings_stand_between_the_variables() -> None:
    environment = {"PAGER": "most", "PATH": ""}
    assert Pager.of(environment, "less -S").command == "less -S"
    assert not Pager.of(environment, "").is_used
    assert Pager.of(environment | {"HMPSHIM_PAGER": "more"}, "less -S").command == "more"
    assert Pager.of(environment, "less -S").changed("off", environment).changed("on", environment).command == "less -S"


@pytest.mark.parametrize(("there", "command"), [(("less", "more"), "less"), (("more",), "more"), ((), "")])
def test_else_it_is_what_there_is(tmp_path: Path, there: tuple[str, ...], command: str) -> None:
    for name in there:
        (tmp_path / name).touch(0o755)
    assert command_of({"PATH": str(tmp_path)}) == command


def test_switch() -> None:
    environment = {"PAGER": "less"}
    pager = Pager.of(environment)
    assert (pager, pager.is_used, str(pager)) == (Pager("less"), True, "long output goes through less")
    off = pager.changed("off", environment)
    assert (off, off.is_used, str(off)) == (Pager("less", is_on=False), False, "output is shown without a pager")
    assert off.changed("", environment) is off
    assert off.changed("on", environment) == pager
    assert off.changed("less -S", environment) == Pager("less -S")
    none = Pager("")
    assert (none.is_used, str(none)) == (False, "there is no pager; 'pager COMMAND' sets one")
    assert none.changed("on", environment) == pager


def test_flags_are_gits_unless_the_person_has_own() -> None:
    assert Pager("less").environment({"HOME": "/"}) == {"HOME": "/", "LESS": "FRX", "LV": "-c"}
    assert Pager("less").environment({"LESS": "S", "LV": ""}) == {"LESS": "S", "LV": ""}


@pytest.mark.parametrize(
    ("command", "environment", "is_coloured"),
    [
        ("less", {}, True),
        ("less -S", {}, True),
        ("/usr/bin/less", {}, True),
        ("less", {"LESS": "S"}, False),
        ("less -R", {"LESS": "S"}, True),
        ("less --RAW-CONTROL-CHARS", {"LESS": ""}, True),
        ("more", {}, False),
        ("lesspipe -R", {}, False),
        ("view -R -", {}, False),
    ],
)
def test_colours_are_for_a_pager_that_is_known_to_show_them(
    command: str, environment: dict[str, str], is_coloured: bool
) -> None:
    assert Pager(command).shows_colours(environment) is is_coloured

"""QEMU's option strings: what they mean, and that they are written as they were read."""

import random

import pytest

from proxy.qemu_command_line import opts


@pytest.mark.parametrize(
    ("text", "implied", "values"),
    [
        ("socket,path=/run/q,server=on", "backend", {"backend": "socket", "path": "/run/q", "server": "on"}),
        ("backend=socket,path=q", "backend", {"backend": "socket", "path": "q"}),
        ("path=q,backend=socket", "backend", {"path": "q", "backend": "socket"}),
        # Flags.
        ("/run/q,server,nowait", "path", {"path": "/run/q", "server": "on", "wait": "off"}),
        ("server,nodelay", None, {"server": "on", "delay": "off"}),
        ("no", None, {"": "off"}),
        # Two commas are one, in a value only.
        ("a,,b,server", "path", {"path": "a,b", "server": "on"}),
        ("path=a,,,,b,server", None, {"path": "a,,b", "server": "on"}),
        ("path=a,,", None, {"path": "a,"}),
        ("path=,,,server", None, {"path": ",", "server": "on"}),
        ("server,,wait", None, {"server": "on", "": "on", "wait": "on"}),
        # An equals sign ends a name, not a value.
        ("a=b=c,d", None, {"a": "b=c", "d": "on"}),
        ("a=b,path=c", "path", {"a": "b", "path": "c"}),
        # The last one holds.
        ("path=a,path=b", None, {"path": "b"}),
        ("path=", None, {"path": ""}),
        ("path=a,", None, {"path": "a"}),
        ("", "path", {}),
    ],
)
def test_parameters_have_values(text: str, implied: str | None, values: dict[str, str]) -> None:
    assert opts.parse(text, implied).values() == values


def test_first_id_holds_and_is_no_value() -> None:
    found = opts.parse("null,id=a,id=b", "backend")
    assert (found.id, found.values(), found.get("id"), found.get("backend")) == ("a", {"backend": "null"}, None, "null")
    assert opts.parse("null", "backend").id is None


@pytest.mark.parametrize("text", ["socket,id=a,path=a,,b,server,nowait", "a", "", "a=", "a,,,b", "a=b,,,c=d"])
def test_parameters_keep_their_text(text: str) -> None:
    assert str(opts.parse(text, "backend")) == text


@pytest.mark.parametrize("seed", range(20))
def test_what_is_written_is_read(seed: int) -> None:
    chance = random.Random(seed)
    pairs = [(key, "".join(chance.choices("a,=/ ", k=chance.randint(0, 6)))) for key in ("path", "host", "name")]
    implied = "".join(chance.choices("a,/ ", k=3))
    found = opts.parse(opts.write(pairs, implied=implied), "backend")
    assert found.values() == {"backend": implied, **dict(pairs)}
    assert opts.parse(opts.write(pairs)).values() == dict(pairs)


@pytest.mark.parametrize(
    ("value", "meaning"),
    [("on", True), ("yes", True), ("true", True), ("y", True), ("off", False), ("no", False), ("false", False), ("n", False)]
    + [(wrong, None) for wrong in ("", "ON", "1", "maybe")],
)
def test_truth_has_several_spellings(value: str, meaning: bool | None) -> None:
    assert opts.boolean(value) is meaning


@pytest.mark.parametrize(
    ("text", "is_identifier"),
    [("a", True), ("mon0", True), ("A-b_c.d", True), ("", False), ("0a", False), ("a b", False), ("a,b", False), ("ä", False)],
)
def test_identifier_has_few_characters(text: str, is_identifier: bool) -> None:
    assert opts.is_identifier(text) is is_identifier

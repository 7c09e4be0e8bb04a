"""Where in a TOML document each thing is written: however it is spelled, and whatever strings and comments look like."""

import random
import tomllib
from collections.abc import Iterator
from typing import Any, Final

import pytest

from host.configuration.toml_places import Place, Places, statements
from tests.support.proxy.config_files import SETTINGS

TEXT: Final = '''\
top.key = 1 # [[vm]]
# [[vm]]
[defaults] # a = 0
a = """
[[vm]]
a = 5
"""
'b' = 'x # y' # b = [
[[vm]]
a = 2
rules = [ # the [first], a = 1
    { allow = "x" }, # {
    # { deny = 1 },
    { deny = ["]", "y,", # "
        "z"], user = "}" }, { deny = "#" },
]
c.d = 1
[vm.e]
f = "\\"[vm]"
[[ "vm" ]]
"a" = 3
empty = []
[[vm.rules]]
allow = "z"
[[vm.rules]]
deny = [
  "q", # , "r"
  \'\'\'
s, t\'\'\', """u\\"""""",
  [1, [2,
    3]],
]
"quo\\u0074ed" = {g = {h = 1}, i.j = 2}
'''
INLINE: Final = 'vm = [{ upstream = "a,", rules = [{}, { deny = "b" }] },\n{ upstream = "c" }]\n'


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 1),
        (("top", "key"), 1),
        (("defaults",), 3),
        (("defaults", "a"), 4),
        (("defaults", "b"), 8),
        (("defaults", "nonesuch"), 3),
        (("vm",), 9),
        (("vm", 0), 9),
        (("vm", 0, "a"), 10),
        (("vm", 0, "rules"), 11),
        (("vm", 0, "rules", 0), 12),
        (("vm", 0, "rules", 0, "allow"), 12),
        (("vm", 0, "rules", 1), 14),
        (("vm", 0, "rules", 1, "deny", 0), 14),
        (("vm", 0, "rules", 1, "deny", 2), 15),
        (("vm", 0, "rules", 1, "user"), 15),
        (("vm", 0, "rules", 2, "deny"), 15),
        (("vm", 0, "rules", 3), 11),
        (("vm", 0, "c"), 17),
        (("vm", 0, "c", "d"), 17),
        (("vm", 0, "e"), 18),
        (("vm", 0, "e", "f"), 19),
        (("vm", 1), 20),
        (("vm", 1, "a"), 21),
        (("vm", 1, "empty", 0), 22),
        (("vm", 1, "rules"), 23),
        (("vm", 1, "rules", 0), 23),
        (("vm", 1, "rules", 0, "allow"), 24),
        (("vm", 1, "rules", 1), 25),
        (("vm", 1, "rules", 1, "deny"), 26),
        (("vm", 1, "rules", 1, "deny", 0), 27),
        (("vm", 1, "rules", 1, "deny", 1), 28),
        (("vm", 1, "rules", 1, "deny", 2), 29),
        (("vm", 1, "rules", 1, "deny", 3, 1, 1), 31),
        (("vm", 1, "rules", 1, "quoted", "g", "h"), 33),
        (("vm", 2), 9),
        (("nonesuch", 0), 1),
        ((), 1),
    ],
)
def test_line_is_that_of_the_last_thing_that_is_written(path: Place, line: int) -> None:
    assert Places(TEXT).line(path) == line


@pytest.mark.parametrize(("path", "line"), [(("vm", 0, "rules", 1, "deny"), 1), (("vm", 1), 2), (("vm", 1, "upstream"), 2)])
def test_tables_in_one_value_are_looked_into(path: Place, line: int) -> None:
    assert Places(INLINE).line(path) == line
    assert Places(INLINE).has(path)


def test_what_is_not_written_is_not_there() -> None:
    places = Places(TEXT)
    assert not places.has(("vm", 0, "rules", 3))
    assert not places.has(("vm", 0, "nonesuch"))
    assert not places.has(("vm", 1, "empty", 0))
    assert not places.has(("vm", 1, "a", "b"))
    assert not places.has(("vm", 1, "a", 0))


def paths(value: Any, above: Place = ()) -> Iterator[Place]:
    """Yield the paths of all that a document holds."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        yield (*above, step)
        yield from paths(item, (*above, step))


@pytest.mark.parametrize("text", [TEXT, INLINE, SETTINGS, TEXT.replace("\n", "\r\n"), TEXT.rstrip()])
def test_all_that_tomllib_returns_is_found(text: str) -> None:
    places = Places(text)
    assert [path for path in paths(tomllib.loads(text)) if path[:4] != ("vm", 1, "rules", 1) and not places.has(path)] == []


def value(chance: random.Random, depth: int) -> str:
    """Return a value in one of its spellings, over one line or several."""
    kind = chance.randrange(9 if depth else 7)
    if kind < 7:
        return ["1", "-2.5", "1979-05-27 07:32:00Z", '"a=[#\\""', "'{,]'", '"""\n[x]\ny = """', "'''\n# ]\n''''"][kind]
    parts = [value(chance, depth - 1) for _ in range(chance.randrange(4))]
    if kind == 7:
        between = chance.choice([", ", ",\n", " , # ],[\n", "\n,"])
        begin, end = chance.choice(["", " ", "\n# ]\n"]), chance.choice(["", " ", "\n"])
        return f"[{begin}{between.join(parts)}{end}]"
    keys = [chance.choice(["k{}", '"k{}"', "'k{}'"]).format(number) for number in range(len(parts))]
    return "{" + ", ".join(f"{key} = {part}" for key, part in zip(keys, parts, strict=True)) + "}"


@pytest.mark.parametrize("seed", range(50))
def test_what_is_nested_at_random_is_found_where_it_is(seed: int) -> None:
    """Each element is written on a line of its own somewhere, so that its text must follow its place."""
    chance = random.Random(seed)
    lines = []
    for table in range(3):
        lines += [chance.choice(["[[vm]]", " [[ 'vm' ]] # x"])]
        lines += [f"key{number} = {value(chance, 3)}{chance.choice(['', ' # [['])}" for number in range(5)]
        lines += ["[vm.sub]", f"key = {value(chance, 2)}"] if table else []
    text = "\n".join(lines)
    places = Places(text)
    for path in paths(tomllib.loads(text)):
        assert places.has(path), path
        if isinstance(path[-1], str) and path != ("vm",):
            assert path[-1] in text.split("\n")[places.line(path) - 1], path


@pytest.mark.parametrize("seed", range(50))
def test_text_that_is_no_toml_makes_no_error(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(20):
        begin = chance.randrange(len(TEXT))
        text = (
            TEXT[:begin]
            + chance.choice(['"', "'", '"""', "[", "]", "{", "=", "\n", "\\", "."])
            + TEXT[begin + chance.randrange(3) :]
        )
        places = Places(text)
        for path in (("vm", 1, "rules", 1, "deny", 2), ("defaults", "a"), ("vm", 0, "rules", 1, "deny")):
            assert 1 <= places.line(path) <= text.count("\n") + 1
        assert [statement.at for statement in statements(text)] == sorted({statement.at for statement in statements(text)})


def test_long_text_takes_linear_time() -> None:
    """Whether it is one value without an end or many lines: no regular expression goes back over it."""
    for text in ('a = "' + "\\x" * 100_000, "a = " + "[" * 100_000, "a = '''" + "x" * 100_000, "a.b " * 50_000, "[a" * 50_000):
        assert Places(text).line(("a",)) == 1

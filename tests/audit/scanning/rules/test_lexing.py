"""Comments and string literals."""

import pytest

from audit.scanning.rules.languages import Language
from audit.scanning.rules.lexing import lex, without_escapes


@pytest.mark.parametrize(
    ("language", "text", "values"),
    [
        (Language.PYTHON, "a = 'b' # 'c'\nf'd' \"\"\"e\n'f\"\"\"", ["b", "d", "e\n'f"]),
        (Language.PYTHON, r"'a\'b' 'c\n' 'd\\'", ["a'b", "c\n", "d\\"]),
        (Language.PYTHON, "'''a\"b'''", ['a"b']),
        (Language.C, '/* "a" */ "b" // "c"\n\'"\' "d"', ["b", '"', "d"]),
        (Language.C, 'R"(a"b)" R"x(c)")x"', ['a"b', 'c)"']),
        (Language.C, '/* "a"', []),
        (Language.GO, '`{"a":\n"b\\n"}` \'"\'', ['{"a":\n"b\\n"}', '"']),
        (Language.RUST, 'fn f<\'a>(x: &\'a str) { "b\nc" r#"d"e"# r"f\\" }', ["b\nc", 'd"e', "f\\"]),
        (Language.SCRIPT, "`a ${b}` 'c' \"d\"", ["a ${b}", "c", "d"]),
        (Language.PERL, "$#x 'a' # 'b'\nqq{c} q(d)\n=pod\n'e'\n=cut\n'f'", ["a", "c", "d", "f"]),
    ],
)
def test_literals(language: Language, text: str, values: list[str]) -> None:
    lexed = lex(text, language)
    assert [literal.value for literal in lexed.literals] == values
    assert len(lexed.flat) == len(lexed.code) == len(text)
    assert [text[literal.begin : literal.begin + 1] for literal in lexed.literals] == [
        literal.text[:1].replace("\0", "\\") for literal in lexed.literals
    ]


def test_code_has_no_words_of_literals_and_comments() -> None:
    lexed = lex("a = 'savevm' # loadvm\nb", Language.PYTHON)
    assert lexed.code == "a = '      '         \nb"
    assert lexed.flat == "a = 'savevm'         \nb"


def test_escapes_keep_their_length() -> None:
    assert without_escapes(r"\"a\"\n\x") == '\0"a\0"\0\n\0x'


@pytest.mark.parametrize("language", [language for language in Language if language not in (Language.SHELL, Language.LINES)])
def test_literal_that_nobody_closes_costs_little(language: Language) -> None:
    """This ends: a pattern that could read an escape in two ways would need 2 to the 2,000th steps."""
    for opening in ('"""', "'''", '"', "'", "`", 'R"x(', 'r#"', "qq{", "/*"):
        assert len(lex(opening + "\\a " * 2000, language).flat) > 2000

"""What a literal is there for."""

import pytest

from audit.scanning.rules.callers import Use, enclosing_calls, is_compared, use_of
from audit.scanning.rules.languages import Language
from audit.scanning.rules.lexing import lex


@pytest.mark.parametrize(
    ("language", "text", "use"),
    [
        (Language.PYTHON, "vm.hmp('x')", Use.SENT),
        (Language.PYTHON, "sock.send(('x' + tag).encode())", Use.SENT),
        (Language.PYTHON, "send('x')", Use.PERHAPS),
        (Language.PYTHON, "send_to_monitor('x')", Use.SENT),
        (Language.PYTHON, "f('x')", Use.PERHAPS),
        (Language.PYTHON, "console.log('x')", Use.NOTHING),
        (Language.PYTHON, "logger.write('x')", Use.NOTHING),
        (Language.PYTHON, "raise X, 'x'", Use.NOTHING),
        (Language.PYTHON, "assert y, 'x'", Use.NOTHING),
        (Language.PYTHON, "return 'x'", Use.PERHAPS),
        (Language.PYTHON, "y = 'x'", Use.PERHAPS),
        (Language.PYTHON, "('x')", Use.PERHAPS),
        (Language.C, 'fputs("x", stderr);', Use.NOTHING),
        (Language.C, 'fputs("x", mon);', Use.PERHAPS),
        (Language.C, 'fprintf(mon, "x");', Use.SENT),
        (Language.C, 'printf("x");', Use.NOTHING),
        (Language.C, 'f(a); { char *c = "x"; }', Use.PERHAPS),
        (Language.SCRIPT, "it('y', () => { a = 'x' })", Use.PERHAPS),
        (Language.PERL, "print $sock 'x';", Use.SENT),
        (Language.PERL, "print {$sock} 'x';", Use.SENT),
        (Language.PERL, "print STDERR 'x';", Use.NOTHING),
        (Language.PERL, "print 'x';", Use.NOTHING),
    ],
)
def test_use(language: Language, text: str, use: Use) -> None:
    lexed = lex(text, language)
    literal = next(one for one in lexed.literals if one.value == "x")
    assert use_of(lexed, literal, is_whole=True) is use
    assert use_of(lexed, literal, is_whole=False) is (Use.NOTHING if use is Use.PERHAPS else use)


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        ("a == 'x'", True),
        ("a in ('x', 'y')", True),
        ("'x' in a", True),
        ("case 'x'", True),
        ("{'x': 1}", True),
        ("a ? 'x' : b", False),
        ("a = 'x'", False),
    ],
)
def test_comparisons(text: str, compared: bool) -> None:
    lexed = lex(text, Language.PYTHON)
    assert is_compared(lexed.code, lexed.literals[0]) is compared
    assert (use_of(lexed, lexed.literals[0], is_whole=True) is Use.NOTHING) is compared


def test_calls_from_the_inside_out() -> None:
    code = "A::b_c!(d(1), e.f(g[{'x"
    assert [(call.name, call.spelled, call.receiver) for call in enclosing_calls(code, len(code))] == [
        ("f", "f", "e."),
        ("bc", "b_c", "A::"),
    ]

"""Which script an interpreter runs, by the rules of its own command line."""

import pytest

from host.who.grammars import Script, grammar_of, is_shell


def script(line: str) -> Script | None:
    words = line.split()
    grammar = grammar_of(words[0])
    assert grammar is not None
    return grammar.script(words)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("python3 /a.py -c x", Script("/a.py", 1)),
        ("python3.11 -u -W ignore -X dev a.py", Script("a.py", 6)),
        ("python3 -Wignore a.py", Script("a.py", 2)),
        ("python3 -m pkg.mod a", Script("pkg.mod", 2)),
        ("python3 -um pkg.mod", Script("pkg.mod", 2)),
        ("python3 -mpkg.mod", Script("pkg.mod", 1)),
        ("python3 -c code a.py", Script("-c")),
        ("python3 -Ic code", Script("-c")),
        ("python3 -- -odd.py", Script("-odd.py", 2)),
        ("python3 --check-hash-based-pycs always a.py", Script("a.py", 3)),
        ("python3 --check-hash-based-pycs=always a.py", Script("a.py", 2)),
        ("python3 - a", None),
        ("python3", None),
        ("python3 -m", None),
        ("python3 --", None),
        ("pypy3 /dev/fd/3", None),
        ("bash -euxo pipefail /a.sh", Script("/a.sh", 3)),
        ("bash +o history a.sh", Script("a.sh", 3)),
        ("bash --rcfile x a.sh", Script("a.sh", 3)),
        ("bash -lc cmd", Script("-c")),
        ("sh -ec cmd", Script("-c")),
        ("dash -s", None),
        ("perl -Mstrict -I lib a.pl", Script("a.pl", 4)),
        ("perl -w -e code", Script("-e")),
        ("perl -i.bak -e code", Script("-e")),
        ("perl -MData::Dumper a.pl", Script("a.pl", 2)),
        ("ruby -r json a.rb", Script("a.rb", 3)),
        ("node --require x app.js", Script("app.js", 3)),
        ("node --inspect=0 app.js", Script("app.js", 2)),
        ("node --eval code", Script("--eval")),
        ("php -d a=b -f x.php", Script("x.php", 4)),
        ("lua5.4 -l m a.lua", Script("a.lua", 3)),
        ("expect -c code", Script("-c")),
        ("java -Xmx1g -cp a:b org.example.Main x", Script("org.example.Main", 4)),
        ("java -Da=b -jar /opt/tool.jar", Script("/opt/tool.jar", 3)),
        ("dotnet tool.dll", Script("tool.dll", 1)),
        ("dotnet exec tool.dll", Script("tool.dll", 2)),
        ("bash -s vm17", None),
        ("bash -es vm17", None),
        ("tcsh -c code", Script("-c")),
        ("perl -lne code", Script("-e")),
        ("perl -0777ne code", Script("-e")),
        ("perl -l012 a.pl", Script("a.pl", 2)),
        ("ruby -0ne code", Script("-e")),
        ("jruby a.rb", Script("a.rb", 1)),
        ("Rscript -e code", Script("-e")),
        ("R --file=a.R", Script("a.R", 1)),
        ("pwsh -Command code", Script("-Command")),
        ("pwsh -NoProfile -File a.ps1", Script("a.ps1", 3)),
        ("guile -c code", Script("-c")),
        ("guile3.0 -s a.scm", Script("a.scm", 2)),
        ("groovy -e code", Script("-e")),
        ("bun run a.ts", Script("a.ts", 2)),
        ("deno run --allow-net a.ts", Script("a.ts", 3)),
        ("node-20 --title x a.js", Script("a.js", 3)),
        ("nodejs18 a.js", Script("a.js", 1)),
        ("java -jar -Da=b a.jar", Script("a.jar", 3)),
        ("java -m a/b.Main", Script("a/b.Main", 2)),
        ("platform-python3.6 a.py", Script("a.py", 1)),
        ("python3.9m a.py", Script("a.py", 1)),
        ("pypy3.9-c a.py", Script("a.py", 1)),
        ("mono a.exe", Script("a.exe", 1)),
    ],
)
def test_script(line: str, expected: Script | None) -> None:
    assert script(line) == expected


@pytest.mark.parametrize("program", ["libvirtd", "socat", "pythonic", "bashful", "java17"])
def test_no_interpreter(program: str) -> None:
    assert grammar_of(program) is None
    assert not is_shell(program)


def test_shells() -> None:
    assert all(map(is_shell, ["sh", "bash", "dash", "zsh", "ksh", "fish"]))
    assert not is_shell("python3")

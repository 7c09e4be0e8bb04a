"""How interpreters parse their command lines, as far as needed to find the script.

A grammar lists the options that change what the next word means. Short options may be combined (`bash -euxo pipefail FILE`),
and a value may follow its letter directly (`python3 -Wignore FILE`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Grammar", "Script", "grammar_of", "is_shell"]


@dataclass(frozen=True, slots=True)
class Script:
    """What an interpreter runs. text: a path, or the name of a module. place: the index of its word; None for code on the
    command line."""

    text: str
    place: int | None = None


@dataclass(frozen=True, slots=True)
class Grammar:
    """valued: options with a value. attached: letters after which the rest of the word is a value. code: options whose value is
    code.

    named: options whose value names what runs. numbered: letters that octal digits may follow. typed: options that mean that
    there is no script. commands: words before the script's. are_clustered: whether short options may be combined.
    """

    valued: frozenset[str] = frozenset()
    attached: frozenset[str] = frozenset()
    code: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    numbered: frozenset[str] = frozenset()
    typed: frozenset[str] = frozenset()
    commands: frozenset[str] = frozenset()
    are_clustered: bool = True

    def script(self, argv: Sequence[str]) -> Script | None:
        """Return the script; None for an interpreter without one, which reads its standard input or a person's keys."""
        place = 1
        while place < len(argv):
            word = argv[place]
            if word == "--":
                place += 1
                break
            if word in self.commands:
                place += 1
                continue
            if not word.startswith(("-", "+")) or word == "-":
                break
            option, value = self._option(word)
            takes_next = value is None and option in self.valued | self.code | self.named
            if option in self.code:
                return Script(option)
            if option in self.typed:
                return None
            if option in self.named:
                at = place + takes_next
                return Script(value or argv[at], at) if at < len(argv) else None
            place += 1 + takes_next
        return Script(argv[place], place) if place < len(argv) and _is_file(argv[place]) else None

    def _option(self, word: str) -> tuple[str, str | None]:
        """Return the option in a word that matters, and its value if the word contains it."""
        if word.startswith("--") or not self.are_clustered:
            name, equals, value = word.partition("=")
            return (name, value) if equals else (word, None)
        letters = word[1:]
        while letters:
            option, letters = f"{word[0]}{letters[0]}", letters[1:]
            if option in self.valued | self.attached | self.code | self.named | self.typed:
                return option, letters or (None if option not in self.attached else "")
            if option in self.numbered:
                letters = letters.lstrip("01234567")
        return word, None


def _is_file(word: str) -> bool:
    return word not in ("", "-") and not word.startswith(("/dev/fd/", "/dev/stdin", "/proc/self/fd/"))


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SHELL: Final = Grammar(valued=_set("-o +o -O +O --rcfile --init-file"), code=_set("-c"), typed=_set("-s"))
_CSH: Final = Grammar(code=_set("-c"), typed=_set("-s"))
_PYTHON: Final = Grammar(valued=_set("-W -X --check-hash-based-pycs"), code=_set("-c"), named=_set("-m"))
_PERL: Final = Grammar(
    valued=_set("-I"), attached=_set("-M -m -i -F -d -D -x -C"), code=_set("-e -E"), numbered=_set("-0 -l"), typed=_set("-V")
)
_RUBY: Final = Grammar(valued=_set("-I -r -C -E"), attached=_set("-W -K -i -F -T -x"), code=_set("-e"), numbered=_set("-0"))
_NODE: Final = Grammar(
    valued=_set("-r --require --import --loader --env-file -C --conditions --title"), code=_set("-e --eval -p --print")
)
_RUNNER: Final = Grammar(
    valued=_set("-r --require --preload -c --config --cwd --import-map"),
    code=_set("-e --eval -p --print"),
    commands=_set("run"),
)
_PHP: Final = Grammar(valued=_set("-d -c -z"), code=_set("-r -B -R -E"), named=_set("-f -F"))
_LUA: Final = Grammar(valued=_set("-l"), code=_set("-e"))
_TCL: Final = Grammar(valued=_set("-encoding"), code=_set("-c"), are_clustered=False)
# -jar only says that the next word that is not an option is an archive instead of a class.
_JAVA: Final = Grammar(
    valued=_set("-cp -classpath --class-path -p --module-path --add-modules --add-opens --add-exports --add-reads"),
    named=_set("-m --module"),
    are_clustered=False,
)
_DOTNET: Final = Grammar(
    valued=_set("--fx-version --additionalprobingpath --depsfile --runtimeconfig"), commands=_set("exec"), are_clustered=False
)
_R: Final = Grammar(code=_set("-e"), named=_set("-f --file"), are_clustered=False)
_GUILE: Final = Grammar(valued=_set("-L -C -x -e"), code=_set("-c"), named=_set("-s -l"), are_clustered=False)
_POWERSHELL: Final = Grammar(
    valued=_set("-ExecutionPolicy -ep -WorkingDirectory -wd -ConfigurationName"),
    code=_set("-Command -command -c -EncodedCommand -e -ec"),
    named=_set("-File -file -f"),
    are_clustered=False,
)
_GROOVY: Final = Grammar(valued=_set("-cp -classpath --classpath -D"), code=_set("-e"), are_clustered=False)
_PLAIN: Final = Grammar(are_clustered=False)

_VERSIONED: Final = r"-?[0-9.]*(?:-?dbg|-c|[dmt]{1,2})?"
_INTERPRETERS: Final = (
    (re.compile(r"(?:ba|da|a|z|k|mk|pdk|lk|ya|fi)?sh|ksh93|r(?:bash|ksh)"), _SHELL),
    (re.compile(r"(?:bsd-|t)?csh"), _CSH),
    (re.compile(rf"(?:platform-)?(?:python|pypy){_VERSIONED}"), _PYTHON),
    (re.compile(rf"perl{_VERSIONED}"), _PERL),
    (re.compile(rf"j?ruby{_VERSIONED}"), _RUBY),
    (re.compile(r"node(?:js)?-?[0-9.]*"), _NODE),
    (re.compile(r"bun|deno"), _RUNNER),
    (re.compile(rf"php{_VERSIONED}"), _PHP),
    (re.compile(rf"lua(?:jit)?{_VERSIONED}"), _LUA),
    (re.compile(rf"(?:tclsh|wish|expect){_VERSIONED}"), _TCL),
    (re.compile(r"java"), _JAVA),
    (re.compile(r"dotnet"), _DOTNET),
    (re.compile(r"R|Rscript"), _R),
    (re.compile(rf"guile{_VERSIONED}"), _GUILE),
    (re.compile(r"pwsh|powershell"), _POWERSHELL),
    (re.compile(r"groovy"), _GROOVY),
    (re.compile(r"mono"), _PLAIN),
)


def is_shell(program: str) -> bool:
    """Return whether a program without a script is one that people type into: a shell."""
    return grammar_of(program) is _SHELL


def grammar_of(program: str) -> Grammar | None:
    """Return a program's grammar; None for what is not an interpreter. program: its name, without a folder."""
    for pattern, grammar in _INTERPRETERS:
        if pattern.fullmatch(program):
            return grammar
    return None

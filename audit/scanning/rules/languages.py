"""Which language a file is in.

Its name decides; if that says nothing, the interpreter that its first line names. Prose (Markdown, change logs, HTML), patches
and unknown files are in no language, because words in them call nothing.
"""

import re
from enum import StrEnum
from typing import Final

__all__ = ["Language", "language_of_file"]


class Language(StrEnum):
    """Groups of languages that are read alike; groups differ in how comments and literals are spelled."""

    PYTHON = "Python"
    C = "C"
    GO = "Go"
    RUST = "Rust"
    SCRIPT = "JavaScript"
    PERL = "Perl"
    SHELL = "shell"
    # Files with commands on single lines, and between them what is not shell.
    LINES = "lines"


_SUFFIXES: Final[dict[str, Language]] = {
    suffix: language
    for language, suffixes in {
        # Nix, because the tests of NixOS are Python between pairs of quotes, which look like empty strings to Python.
        Language.PYTHON: "py pyi pyw pyx nix bzl star cfg",
        Language.C: "c h cc cpp cxx hpp hh hxx inc m mm cs java kt kts scala swift zig d",
        Language.GO: "go",
        Language.RUST: "rs",
        Language.SCRIPT: "js mjs cjs jsx ts mts cts tsx vue groovy gradle php dart json jsonc json5",
        Language.PERL: "pl pm t rb rake",
        Language.SHELL: "sh bash zsh ksh dash ash bats fish exp expect tcl",
        Language.LINES: "yml yaml mk mak dockerfile service just",
    }.items()
    for suffix in suffixes.split()
}
_NAMES: Final = re.compile(r"(?:GNU)?[Mm]akefile(?:\..+)?|Dockerfile(?:\..+)?|Containerfile|[Jj]ustfile")
_SCRIPT_NAMES: Final = frozenset({"Jenkinsfile"})
_PYTHON_NAMES: Final = frozenset({"SConstruct", "SConscript", "BUILD", "wscript"})
# Suffixes of templates, from which other files are generated.
_TEMPLATES: Final = frozenset({"in", "j2", "jinja", "jinja2", "tmpl", "tpl", "template", "erb", "example", "sample"})
_INTERPRETERS: Final = (
    (re.compile(r"(?:python|pypy)[\d.]*"), Language.PYTHON),
    (re.compile(r"(?:ba|da|k|z|a|fi)?sh|bats|expect|tclsh[\d.]*"), Language.SHELL),
    (re.compile(r"perl[\d.]*|ruby[\d.]*"), Language.PERL),
    (re.compile(r"node|nodejs|deno|bun|php[\d.]*|groovy"), Language.SCRIPT),
    (re.compile(r"make"), Language.LINES),
)


def language_of_file(path: str, beginning: bytes) -> Language | None:
    """Return the language of a file; None if it is in no known one. beginning: at least its first line."""
    language = _by_name(path.rpartition("/")[2])
    if language is None and beginning.startswith(b"#!"):
        language = _by_interpreter(beginning[:200].decode(errors="replace").partition("\n")[0])
    return language


def _by_name(name: str) -> Language | None:
    if _NAMES.fullmatch(name):
        return Language.LINES
    if name in _SCRIPT_NAMES:
        return Language.SCRIPT
    if name in _PYTHON_NAMES:
        return Language.PYTHON
    parts = name.lower().split(".")
    while len(parts) > 2 and parts[-1] in _TEMPLATES:
        parts.pop()
    return _SUFFIXES.get(parts[-1]) if len(parts) > 1 else None


def _by_interpreter(first_line: str) -> Language | None:
    words = [word.rpartition("/")[2] for word in first_line[2:].split()]
    named = [word for word in words if word != "env" and not word.startswith("-") and "=" not in word][:1]
    return next((language for name in named for pattern, language in _INTERPRETERS if pattern.fullmatch(name)), None)

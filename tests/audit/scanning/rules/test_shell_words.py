"""Shell as simple commands."""

from audit.scanning.rules.shell_words import commands_of, without_comments


def words(script: str) -> list[list[str]]:
    return [[word.value for word in command.words] for command in commands_of(script)]


def test_words_and_quotes() -> None:
    script = """a 'b c' "d \\" e" $'f\\n' g"h i" $(j (k) l) `m n` ${o:-{p}} {{ q }} \\r # s\nt"""
    assert words(script) == [
        ["a", "b c", 'd " e', "f\n", 'g"h i"', "$(j (k) l)", "`m n`", "${o:-{p}}", "{{ q }}", "\\r"],
        ["t"],
    ]
    assert [script[word.begin :].startswith(word.text[:1]) for word in commands_of(script)[0].words] == [True] * 10


def test_operators_end_commands() -> None:
    assert words("a && b; c || d & e\nf\\\ng") == [["a"], ["b"], ["c"], ["d"], ["e"], ["f", "g"]]


def test_pipes_and_groups() -> None:
    def readers(script: str) -> dict[str, list[str]]:
        commands = [command for command in commands_of(script) if command.words]
        return {one.words[0].value: [reader.words[0].value for reader in one.consumers] for one in commands}

    assert readers("a | b | c") == {"a": ["b", "c"], "b": ["c"], "c": []}
    assert readers("a |\n b") == {"a": ["b"], "b": []}
    assert readers("{ a; b; } | c")["a"] == ["c"]
    assert readers("(a; (b)) | c")["b"] == ["c"]
    assert readers("for x in y; do a; done | c")["a"] == ["c"]
    assert readers("if a; then b; fi | c")["b"] == ["c"]
    assert readers("a |") == {"a": []}


def test_patterns_of_case_are_no_commands() -> None:
    assert words("case x in\n a|b) c;;\n d) e;;\nesac") == [["case", "x", "in"], ["c"], ["e"], ["esac"]]


def test_redirections_and_documents() -> None:
    (one, other) = commands_of("a 2>&1 >b <c <<EOF <<< d\nsavevm\n EOF\n} > e")
    assert [(operator, word.value) for operator, word in one.targets] == [("2>&", "1"), (">", "b")]
    assert [body.text for body in one.bodies] == ["d", "savevm\n"]
    assert [word.value for word in other.words] == ["}"]
    assert [body.text for body in commands_of("a <<-'E'\nb")[0].bodies] == ["b"]


def test_output_of_a_group_is_redirected() -> None:
    assert [[word.value for _, word in command.targets] for command in commands_of("{ a; } > b")] == [["b"], ["b"]]
    assert [len(command.targets) for command in commands_of("> b")] == [1]


def test_comments() -> None:
    assert without_comments("a # b\n'#c' \\\"") == "a    \n'#c' \0\""

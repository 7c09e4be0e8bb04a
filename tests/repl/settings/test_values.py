"""What holds where nothing is set."""

from repl.settings.values import Editing, Question, Settings


def test_without_a_file_all_is_asked_and_nothing_means_anything_else() -> None:
    settings = Settings()
    assert settings.asks == {Question.REPLACE, Question.LOAD, Question.DELETE, Question.QUIT}
    assert (settings.keys, settings.colors, settings.aliases, settings.mistakes) == ((), {}, {}, ())
    assert (settings.editing, settings.pager) == (Editing.EMACS, None)

r"""Where a person has output go beside the screen: into a pager, a shell command or a file.

What a line means to QEMU, it goes on meaning. QEMU's monitor has a use of its own for both characters: `|` is a binary or in
its expressions (monitor/hmp.c, expr_logic), and a password, a tag or a migration's `exec:` command may have either. So only the
lines of commands are looked at that are there to print something (`redirection.py` has the list), and of these

* nothing in quotes, nor a character constant (`p '|'`);
* in commands that calculate, no `|` before what can go on an expression: a number, `$`, `(`, `'`, `+`, `-` or `~`. Before
  anything else QEMU would say "invalid char", so no expression is taken from it;
* where arguments can be a person's own words (`qom-get`, `qemu-io`, `qmp`, `plan` ...), only a `|`, `>` or `>>` with blanks on
  both sides. QEMU would find an argument too many there, and so it would where `info`, `help` or an expression has them without
  blanks: `info mtree|grep pci` is an unknown command to QEMU.

The lines of all other commands go to QEMU as they are, and so does every line of a script: there the shell that calls it has
pipes. tests/integration/prompt/test_outlets_on_qemu.py holds the rule against real QEMUs.

    redirection   the rule, and what is asked for
    typed         a line with all of this, and `watch`
    pager         which pager, and what it can show
    shell         a shell command, fed with a text
    files         a text in a file, written beside the event loop

Nothing here knows the prompt; repl/prompt/reading/ brings both together.
"""

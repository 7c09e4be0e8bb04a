r"""Where a person can send output besides the screen: to a pager, a shell command or a file.

A line that means something to QEMU must keep that meaning. QEMU's monitor uses both characters itself: `|` is a bitwise or in
its expressions (monitor/hmp.c, expr_logic), and a password, a tag or a migration's `exec:` command may contain either. So only
lines of commands that print something are examined (`redirection.py` has the list), and in these

* nothing in quotes counts, nor a character constant (`p '|'`);
* in commands that calculate, a `|` does not count before what can continue an expression: a number, `$`, `(`, `'`, `+`, `-` or
  `~`. Before anything else QEMU would say "invalid char", so no valid expression is lost;
* if arguments can be a person's own words (`qom-get`, `qemu-io`, `qmp`, `plan` ...), only a `|`, `>` or `>>` with blanks on
  both sides counts, which QEMU would reject as an extra argument. `info`, `help` and expressions need no blanks, because QEMU
  would reject that too: `info mtree|grep pci` is an unknown command to QEMU.

The lines of all other commands go to QEMU as they are, and so does every line of a script, whose calling shell has pipes.
tests/integration/prompt/test_outlets_on_qemu.py checks the rule on real QEMUs.

    redirection   the rule, and what a line asks for
    typed         a line with all of this, and `watch`
    scripted      a line of a script, which has none of it
    pager         which pager, and what it can show
    shell         a shell command, fed with a text
    files         a text in a file, written outside the event loop

Nothing here knows about the prompt; repl/prompt/reading/ brings both together.
"""

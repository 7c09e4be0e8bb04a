"""QEMU's JSON, as a QMP client may send it, and what QEMU says to anything else. Without I/O.

One door for clients: framing.py cuts a client's stream into commands. Below it, from the bottom up: lexer.py cuts tokens,
dialect.py knows what one token means, grammar.py how they make a value, extent.py how far a value has come and limits.py how
much is too much, shorten.py how to judge a long one, position.py where an error stands and early_errors.py what QEMU says
before a value's end; plain.py knows commands that need none of this. The other side is easier: message_framer.py cuts what QEMU
writes, and messages.py tells its messages apart.

Why not Python's json alone? Where every command ends must be known exactly as QEMU knows it: a proxy that sees one command
where QEMU sees two lets the second one past every rule. QEMU takes more than RFC 8259 (single quotes, several values in one
line, one value over many) and less (duplicate keys, lone surrogates), and goes on after an error in its own way. So json is
used where it surely agrees, which is nearly always, and the rest follows QEMU's sources.
tests/integration/wire/test_dialect_against_qemu.py and the fuzz tests hold it against real QEMUs.

Nothing here scans a byte twice, however small the pieces in which a command comes, and nothing is decoded before it is whole.
"""

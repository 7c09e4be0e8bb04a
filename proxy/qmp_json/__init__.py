"""QEMU's JSON, as a QMP client may send it, and what QEMU says to anything else. Without I/O.

For a client's stream there is one entry: framing.py cuts it into commands (items.py). Below it, from the bottom up: lexer.py
cuts tokens, dialect.py knows what one token means, grammar.py how tokens make a value, extent.py how long a value is so far and
limits.py how much is too much, shorten.py how to judge a long one, position.py where an error is, and early_errors.py what QEMU
says before a value's end; plain.py recognises commands that need none of this. QEMU's side is easier: message_framer.py cuts
what QEMU writes, messages.py distinguishes its messages, and indentation.py converts them to the pretty form.

Why not just Python's json? The proxy must know exactly where QEMU thinks each command ends: a proxy that sees one command where
QEMU sees two lets the second one past every rule. QEMU accepts more than RFC 8259 (single quotes, several values in one line,
one value over many) and less (no duplicate keys, no lone surrogates), and goes on after an error in its own way. So json is
used where it certainly agrees, which is nearly always, and the rest follows QEMU's sources.
tests/integration/wire/test_dialect_against_qemu.py and the fuzz tests compare it with real QEMUs.

Nothing here scans a byte twice, however small the pieces in which a command comes, and nothing is decoded before it is whole.
"""

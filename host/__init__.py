"""What the programs share of the machine that they run on. Nothing here knows QMP's wire or a terminal.

What an operator says: settings.py is the one table of it, from which options.py makes the command lines and config_file.py
reads the file; setting_types.py has what a value may be, contradictions.py what excludes what, and config.py the values
themselves. listener.py, listener_settings.py and listener_types.py do the same for what one listener of a VM may have otherwise
than the others, and admission.py decides by it who comes in.

Where things are: addresses.py and connecting.py for sockets and who is at the other end, intents.py for the state folder.

What is kept: audit_log.py opens a log by its destination and chooses between audit_file.py (rotation, locks, torn lines),
audit_stream.py and audit_syslog.py; audit_trust.py says what makes a file trusted, audit_refusals.py counts what is repeated.
A record is on disk, as far as `--audit-sync` asks for it, before the answer goes out, and a log that cannot be written never
stops QEMU: what happens then is the operator's choice (`--audit-failure`).

log_lines.py, ids.py and errors.py are what all programs have in common: one line per message, ids that nobody else uses, and
errors with an exit status.
"""

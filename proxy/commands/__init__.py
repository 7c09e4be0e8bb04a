"""What `hmp-proxy` does besides serving.

    plan.py            show what a command would do (`plan`)
    check.py           report mistakes in a configuration (`--check`)
    asking.py          one request to a running proxy
    ask.py             the subcommands made of such requests; watch.py repeats one, upgrade.py waits for a new process
    tools.py           the names by which people know a proxy's clients
    install_units.py   install systemd's units; own_command.py is the command that they start

Each takes an invocation (proxy/command_line/invocations.py) and returns text or an exit status. Errors are raised as
ProgramError.
"""

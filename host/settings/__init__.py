"""What can be said about a VM: the table of settings, how each is read, and the values that come of it.

settings.py is the one table, of rows as setting_row.py has them. The modules in `_types` read single values, from a word or
from TOML; rule_mistakes.py refuses rules that can match nothing. config.py and listener.py are the values, and admission.py
decides by a listener's who comes in.
"""

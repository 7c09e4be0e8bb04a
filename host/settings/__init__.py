"""What can be said about a VM: the table of settings, how each is parsed, and the values that result.

    setting_types.py, limit_types.py, listener_types.py, rule_types.py
                                            parse single values, from a word or from TOML
    bad_value.py                            the mistakes of one value of a file, all at once
    setting_row.py, listener_settings.py    the form of a row; the rows that a single listener may have, too
    settings.py                             the one table
    config.py, listener.py                  the values: VMConfig, and the Terms of its listeners
    admission.py                            decides by a listener's Terms whether a client may connect
    rule_mistakes.py                        refuses rules that can match nothing

A new setting is a member of a value and a row of the table (settings.py says how); options, keys of the file and error texts
follow from the row.
"""

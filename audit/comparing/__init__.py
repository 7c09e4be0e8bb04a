"""From week to week: what is new, gone, more or less, and what was accepted before.

What is the same thing in two reports, audit/reporting/keys.py says.

saved        a report or a scan that was written with --json, read again
baseline     what a CI job has accepted: --baseline
difference   two reports compared, as values; diff is the command, difference_forms its output
"""

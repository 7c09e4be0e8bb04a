"""Comparing reports over time: what is new, gone, more or less, and what was accepted before.

audit/reporting/keys.py says what counts as the same thing in two reports.

saved              a report or a scan that was written with --json, read back; it is untrusted input
baseline           what a CI job has accepted: --baseline
difference         two reports compared, as values
diff               the command; difference_forms has its output
"""

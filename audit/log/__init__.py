"""Logs, read line by line and turned into records of today's schema.

sources        files, plain or gzip, and standard input, as lines of bounded length
reading        one line as a record; records of earlier versions get the members that they lack
quick_check    whether a record can be counted: fast, and only about what is counted
schema         everything that a record may violate, for `hmp-audit check` and `follow`
recognition    what a file is that has no records

The order is: read, check, count. A line that fails a check raises DamagedLine; it is counted as damaged, and reading goes on.
"""

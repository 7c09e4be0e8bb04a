"""Logs as they are read: files and streams (sources), and lines of any version as records of today's schema (reading). Two
modules look whether a record is whole: quick_check at each that is counted, and schema at everything, for `hmp-audit check`.
What a file is that has no record, recognition says.
"""

"""A report as one self-contained HTML page, which can be mailed or archived.

document.py puts the page together and sets its security policy. Its sections are in first.py, standing.py, contrasts.py,
prospects.py and sections.py, its charts in bar_chart.py and timeline_chart.py with the time_axis.py. tables.py makes tables
that the script can sort and filter, and elements.py is the only place where markup is made.

What the page says comes from a log, and so from anybody. Two things protect its readers: all text goes through elements.py,
which escapes it, and the policy allows only the page's own style and script. Without the script, everything can still be read.
"""

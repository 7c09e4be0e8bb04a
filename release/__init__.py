"""The files for distribution, made from a checkout: `./run package`.

build.py makes the wheel and hmpshim.pyz, and share.py the manual pages (man_pages.py) and completion files (completions/),
which are made from the programs' own parsers (parsers.py). The share files are written first, because the wheel contains them;
hmpshim.pyz is made from the wheel. The manual pages and completion files are the same bytes each time, for the same sources.
"""

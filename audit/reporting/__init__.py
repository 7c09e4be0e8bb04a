"""What a report says, as frozen values and in sentences that every form uses. It knows nothing about records or layout.

report.py is the root of the values, with parties.py, ready.py and switch.py for its parts. Two functions take a Report and
return another one: quiet.py's, for what stopped long ago, and target.py's, for what breaks on another QEMU; --quiet-days is
applied first. Others work something out that several forms need: board.py with next_changes.py and day_columns.py, and
headline.py. keys.py says what counts as the same in two reports, and wording.py spells counts, times and names.

Nothing here reads a clock: the end of the reported period is an argument.
"""

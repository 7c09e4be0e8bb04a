"""Fuzzing: inputs that nobody thought of, and for each input what must hold whatever it is.

`targets/` has one module a surface: `framing` (a client's bytes), `hmp` (a command line), `config` (the configuration file),
`audit` (a log that is read), `rules` (who may send what) and `descriptors` (those that clients pass). Each is a function of
bytes with an oracle, which says more than "no exception": another reading of the same rules that shares no code with the
product, or two ways that must agree. An oracle that could not fail would find nothing, so `test_targets.py` breaks the
product for each and looks.

The inputs come from two sides. `./run fuzz TARGET` has atheris change inputs and keep those that reach new code, for as long as
one likes; atheris is a tool of development and nothing else needs it. The tests play the corpus, and a number of seeded
mutations of it, everywhere and always. `corpus/` is small: what reaches all that was ever reached, minimised, and every input
that once failed under a name that says what it was.

No target is written for speed alone: 10 to 30 thousand bytes of a stream a second, read in three ways, find more than a
million reads in one way that could only crash.
"""

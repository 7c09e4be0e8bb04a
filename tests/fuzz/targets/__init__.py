"""What is fuzzed. Each module has `check`, a function of bytes that raises if the product fails, WORDS for the mutators, and
COVERS, the files of the product that it is about.
"""

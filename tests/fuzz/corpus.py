"""The inputs that are kept, and changes to them that follow from a seed."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["CORPUS", "kept", "mutated"]

CORPUS: Final = Path(__file__).with_name("corpus")
_MOST_CHANGES: Final = 6
_MOST_BYTES: Final = 8192


def kept(target: str) -> dict[str, bytes]:
    """Return the inputs of a target by their names."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / target).iterdir())}


def mutated(rng: random.Random, inputs: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Return one of the inputs with a few changes."""
    data = rng.choice(inputs)
    for _ in range(rng.randint(1, _MOST_CHANGES)):
        begin = rng.randrange(len(data) + 1)
        end = begin + rng.choice((0, 0, 1, 2, 8, 64))
        other = rng.choice(inputs)
        piece = rng.choice(
            (b"", rng.choice(words), rng.randbytes(1), data[begin:end] * 2, other[rng.randrange(len(other) + 1) :])
        )
        data = (data[:begin] + piece + data[end:])[:_MOST_BYTES]
    return data

"""The benchmark's one error."""

__all__ = ["BenchError"]


class BenchError(Exception):
    """Something could not be started, or did not answer. The text is one line for the reader."""

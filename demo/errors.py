"""The demo's one error."""

__all__ = ["DemoError"]


class DemoError(Exception):
    """Something is missing, or was not as the demo says. The text is one line for the reader."""

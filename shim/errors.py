"""The errors of the shim. Each carries its facts as fields and makes its text in `__str__`.

ShimError
├── CommandPatternError an operator's pattern for commands is invalid
├── PatternError        an operator's pattern for block nodes is invalid
└── UnreadableReply     QEMU's reply does not have the shape that its schema promises
"""

__all__ = ["CommandPatternError", "PatternError", "ShimError", "UnreadableReply"]


class ShimError(Exception):
    """The root of the shim's errors."""


class CommandPatternError(ShimError):
    """A command pattern in a rule is invalid."""

    def __init__(self, pattern: str, reason: str) -> None:
        super().__init__(pattern, reason)
        self.pattern = pattern
        self.reason = reason

    def __str__(self) -> str:
        return f"invalid command pattern '{self.pattern}': {self.reason}"


class PatternError(ShimError):
    """A pattern for block nodes is invalid."""

    def __init__(self, pattern: str, reason: str) -> None:
        super().__init__(pattern, reason)
        self.pattern = pattern
        self.reason = reason

    def __str__(self) -> str:
        return f"invalid pattern '{self.pattern}' for block nodes: {self.reason}"


class UnreadableReply(ShimError):
    """QEMU, or a proxy, replied in a shape that the schema does not allow."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(what, detail)
        self.what = what
        self.detail = detail

    def __str__(self) -> str:
        return f"QEMU's answer about {self.what} cannot be read: {self.detail}"

"""The errors of the shim. Each carries its facts as fields and makes its text in `__str__`.

ShimError
└── UnreadableReply     QEMU's answer has not the shape that its schema promises
"""

__all__ = ["ShimError", "UnreadableReply"]


class ShimError(Exception):
    """The root of the shim's errors."""


class UnreadableReply(ShimError):
    """QEMU answered, but not in the shape of its QAPI schema."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(what, detail)
        self.what = what
        self.detail = detail

    def __str__(self) -> str:
        return f"QEMU's answer about {self.what} cannot be read: {self.detail}"

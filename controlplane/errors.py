"""What the control plane refuses, in one line that names the thing and the remedy."""

from dataplane.contract.errors import OperatorError

__all__ = ["OperatorError", "ScopeExceededError", "StaleParent", "UnknownVersionError"]


class StaleParent(OperatorError):  # noqa: N818 - it names what was refused, not what broke
    """Someone else published first: read the newest and decide again."""


class UnknownVersionError(OperatorError):
    """A policy version that is not stored."""


class ScopeExceededError(OperatorError):
    """A key may not give what it does not have."""

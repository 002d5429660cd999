"""Every exception that xfeed raises.

The Rust core raises these very classes, so one `except xfeed.XfeedError` catches all of them.
"""


class XfeedError(Exception):
    """Base of every error.

    Attributes:
        code: stable, machine-readable name of the problem, such as ``bad_shape``.
        hint: what to do about it; may be empty.
    """

    def __init__(self, message: str, *, code: str = "error", hint: str = "") -> None:
        super().__init__(f"{message} (hint: {hint})" if hint else message)
        self.code = code
        self.hint = hint


class ConfigError(XfeedError, ValueError):
    """A setting is unknown, out of its bounds or contradicts another one."""


class ShapeError(XfeedError, ValueError):
    """An array has the wrong shape, dtype or memory order."""


class EventError(XfeedError, ValueError):
    """An event or an id was refused."""


class StoreError(XfeedError):
    """The data directory or the log cannot do what was asked."""


class RateLimitError(XfeedError):
    """A client asks more often than it may.

    Attributes:
        retry_after_secs: after so long its next request passes, if it asks nothing meanwhile.
    """

    def __init__(self, message: str, *, retry_after_secs: float, hint: str = "") -> None:
        super().__init__(message, code="rate_limited", hint=hint)
        self.retry_after_secs = retry_after_secs


class BundleError(XfeedError):
    """A model bundle is damaged, of the wrong shape or not finite."""

"""The log is the truth: everything else is a fold of it."""

from xfeed.log.base import Appended, EventLog
from xfeed.log.sqlite import SqliteLog

__all__ = ["Appended", "EventLog", "SqliteLog"]

"""Readers that turn other formats into xfeed's events; `docs/adapters.md` says how to add one."""

from xfeed.adapters.base import Adapter, RawLine
from xfeed.adapters.registry import ADAPTERS, adapter

__all__ = ["ADAPTERS", "Adapter", "RawLine", "adapter"]

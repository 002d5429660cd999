"""Runs cases that describe how the published system behaves against the code of xfeed.

The cases lie outside the package; any file of their shape will do. The engine computes every
answer: a handler only translates the names of a case. What cannot be computed is counted as
unknown and named, never skipped.
"""

from xfeed.conformance.report import AreaReport, ConformanceReport
from xfeed.conformance.runner import run

__all__ = ["AreaReport", "ConformanceReport", "run"]

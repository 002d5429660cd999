"""Finds data that may be measured but not shipped.

The environment variable `FEED_REFERENCE` names a directory with such data. Without it the tests
that need it are skipped, except where `CI` is "true": there a silent skip would hide a broken
set-up.
"""

import os
from pathlib import Path

import pytest


def shared_path(*parts: str) -> Path:
    """Returns the path of shared data, or ends the calling test.

    Args:
        parts: the path below `FEED_REFERENCE`.

    Returns:
        A path that exists.
    """
    root = os.environ.get("FEED_REFERENCE", "")
    path = Path(root).joinpath(*parts)
    if root and path.exists():
        return path
    lack = f"`{path}` does not exist" if root else "the variable `FEED_REFERENCE` is not set"
    reason = f"{lack}; it should name a directory that holds `{'/'.join(parts)}`"
    if root or os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)

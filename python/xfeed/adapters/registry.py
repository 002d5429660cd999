"""The one table of adapters."""

import difflib
from typing import Final

from xfeed.adapters.base import Adapter
from xfeed.adapters.jsonl import JsonLines
from xfeed.adapters.kuairand import KuaiRand
from xfeed.errors import ConfigError

ADAPTERS: Final[tuple[type[Adapter], ...]] = (
    JsonLines,
    KuaiRand,
)
"""Every adapter, in the order of `--help`; the first is the default."""


def adapter(name: str) -> Adapter:
    """Makes the adapter of a format.

    Args:
        name: the name of the format, such as `jsonl`.

    Returns:
        An adapter, ready to read.

    Raises:
        ConfigError: no format has that name.
    """
    by_name = {kind.name: kind for kind in ADAPTERS}
    if name in by_name:
        return by_name[name]()
    near = difflib.get_close_matches(name.lower(), by_name, n=1)
    known = ", ".join(f"`{known}`" for known in by_name)
    raise ConfigError(
        f"there is no format `{name}`, known are {known}",
        code="unknown_format",
        hint=f"did you mean `{near[0]}`?" if near else "choose one of the known formats",
    )

"""Settings as text: TOML files, environment variables, `setting=value`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xfeed.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

ENV_PREFIX = "XFEED_"
ENV_IGNORED = frozenset({"XFEED_DATA"})
"""Variables with the prefix that are no settings: the command line's own."""


def parse_override(assignment: str) -> dict[str, Any]:
    """Reads ``filters.age.max_age_secs=3600`` into nested settings.

    Raises:
        ConfigError: when there is no ``=`` in it.
    """
    path, equals, text = assignment.partition("=")
    if not equals or not path:
        raise ConfigError(
            f"`{assignment}` is not an assignment",
            code="bad_override",
            hint="write section.setting=value, such as filters.age.max_age_secs=3600",
        )
    return _nest(path.strip().split("."), _value(text.strip()))


def to_toml(settings: Mapping[str, Any], prefix: str = "") -> str:
    """Writes nested settings as TOML: plain values first, then one table per section."""
    lines = [
        f"{key} = {toml_value(v)}" for key, v in settings.items() if not isinstance(v, Mapping)
    ]
    for key, value in settings.items():
        if isinstance(value, Mapping):
            name = f"{prefix}.{key}" if prefix else key
            body = to_toml(value, name)
            has_values = any(not isinstance(inner, Mapping) for inner in value.values())
            lines += ["", f"[{name}]", body] if has_values or not value else [body]
    return "\n".join(lines).strip("\n")


def toml_value(value: object) -> str:
    """One value as TOML."""
    if isinstance(value, tuple | list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def read_toml(path: Path) -> dict[str, Any]:
    """Reads a file of settings.

    Raises:
        ConfigError: when it is not valid TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"`{path}` is not valid TOML: {error}", code="bad_toml", hint="mend or remove the file"
        ) from error


def read_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    """Reads `XFEED_SECTION__SETTING` variables into nested settings."""
    merged: dict[str, Any] = {}
    for name in sorted(environ):
        if name.startswith(ENV_PREFIX) and name not in ENV_IGNORED:
            path = name.removeprefix(ENV_PREFIX).lower().split("__")
            merge(merged, _nest(path, _value(environ[name])))
    return merged


def _nest(path: list[str], value: object) -> dict[str, Any]:
    nested: Any = value
    for key in reversed(path):
        nested = {key: nested}
    result: dict[str, Any] = nested
    return result


def _value(text: str) -> object:
    """A TOML value where the text is one, else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Puts `other` over `into`, section by section."""
    for key, value in other.items():
        known = into.get(key)
        if isinstance(known, dict) and isinstance(value, Mapping):
            merge(known, value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value

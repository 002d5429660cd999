"""Reads configurations back from JSON, strictly: unknown and missing keys are errors."""

import types
import typing
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar

from xfeed.errors import ConfigError

ConfigType = TypeVar("ConfigType")


def config_from_json(kind: type[ConfigType], values: Any) -> ConfigType:
    """Builds a config dataclass from what `dataclasses.asdict` made of one.

    Args:
        kind: the dataclass; its fields may be plain values, literals, further dataclasses,
            tuples of these, or None.
        values: the fields by name; anything else than a dict is refused.

    Raises:
        ConfigError: a key is unknown or missing, or a value is of the wrong kind.
    """
    assert is_dataclass(kind)
    hints = typing.get_type_hints(kind)
    known = {field.name for field in fields(kind)}
    if not isinstance(values, dict) or set(values) != known:
        given = set(values) if isinstance(values, dict) else set()
        raise ConfigError(
            f"{kind.__name__} has unknown keys `{sorted(given - known)}` and lacks "
            f"`{sorted(known - given)}`",
            code="bad_keys",
            hint="use the configuration that the bundle or this version wrote",
        )
    return kind(**{name: _convert(name, hints[name], value) for name, value in values.items()})


def _convert(name: str, hint: Any, value: Any) -> Any:
    """Checks one JSON value against the type of its field."""
    if typing.get_origin(hint) is types.UnionType:
        if value is None:
            return None
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if isinstance(hint, type) and is_dataclass(hint):
        return config_from_json(hint, value)
    origin = typing.get_origin(hint)
    if origin is tuple and isinstance(value, list | tuple):
        inner = typing.get_args(hint)[0]
        return tuple(_convert(name, inner, item) for item in value)
    if origin is Literal:
        right = value in typing.get_args(hint)
    elif hint is float:
        right = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        right = origin is None and type(value) is hint
    if not right:
        raise ConfigError(f"`{name}` cannot be `{value!r}`", code="bad_value")
    return value


def at_least(config: object, bound: int, names: str) -> None:
    """Refuses fields of a configuration below a bound.

    Args:
        config: what has the fields.
        bound: least value allowed.
        names: names of the fields, separated by blanks.

    Raises:
        ConfigError: a field is below.
    """
    for name in names.split():
        value = getattr(config, name)
        if value < bound:
            raise ConfigError(
                f"`{name}` must be at least {bound}, got `{value}`", code="out_of_bounds"
            )

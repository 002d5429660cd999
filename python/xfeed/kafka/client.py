"""The client library: loaded on first use, set up in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xfeed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from xfeed.kafka.address import Address

Properties = dict[str, Any]


def load() -> ModuleType:
    """The `confluent_kafka` module.

    Raises:
        ConfigError: when it is not installed.
    """
    try:
        import confluent_kafka
    except ImportError as error:
        raise ConfigError(
            f"confluent-kafka cannot be loaded: {error}",
            code="no_kafka",
            hint="pip install 'xfeed[kafka]'",
        ) from error
    return confluent_kafka


def properties(address: Address, own: Mapping[str, Any]) -> Properties:
    """What a client is made with: the user's file, then what xfeed relies on.

    Args:
        address: names the servers and, if any, the file.
        own: properties that a user cannot change.

    Raises:
        ConfigError: when the file cannot be read or names a property that is xfeed's.
    """
    fixed: Properties = {
        "bootstrap.servers": address.servers,
        "client.id": "xfeed",
        # Reconnecting goes on for ever; a second at most keeps the way back short.
        "reconnect.backoff.max.ms": 1_000,
        # What it would write to standard error, it also tells the callbacks.
        "log_level": 0,
        **own,
    }
    found: Properties = {}
    if address.properties is not None:
        try:
            text = address.properties.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"the client properties `{address.properties}` cannot be read: {error}",
                code="bad_properties",
                hint="name a text file with one `name=value` per line",
            ) from error
        for number, line in enumerate(text.splitlines(), start=1):
            name, equals, value = line.partition("=")
            name = name.strip()
            if not line.strip() or name.startswith("#"):
                continue
            # Values are never repeated: they may be passwords.
            where = f"line {number} of `{address.properties}`"
            if not equals:
                raise _bad(f"{where} is not `name=value`")
            if name in fixed:
                raise _bad(f"{where} sets `{name}`, which xfeed sets itself")
            found[name] = value.strip()
    return {**found, **fixed}


def make(kind: Any, values: Properties) -> Any:
    """Makes a client, with a clear error for a property that it does not take.

    Raises:
        ConfigError: naming the property, never its value.
    """
    from confluent_kafka import KafkaException

    try:
        return kind(values)
    except (KafkaException, TypeError, ValueError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        for name, value in values.items():
            if "password" in name or "secret" in name:
                reason = reason.replace(str(value), "…")
        raise _bad(f"the Kafka client refuses its properties: {reason}") from None


def _bad(message: str) -> ConfigError:
    return ConfigError(
        message,
        code="bad_properties",
        hint="one `name=value` per line, the names as librdkafka's CONFIGURATION.md has them",
    )

"""Where the topics are: ``kafka://host:port,host:port/topic,topic?format=json``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from xfeed.errors import ConfigError

Format: TypeAlias = Literal["json", "protobuf"]

SCHEME = "kafka://"

_FORMATS = ("json", "protobuf")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_SERVER = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/,@?#\[\]]+):([0-9]{1,5})")
_HINT = "write kafka://host:port/topic or kafka://host:port,host:port/topic,topic?format=json"


@dataclass(frozen=True, slots=True)
class Address:
    """A cluster and the topics in it.

    Attributes:
        servers: where to ask first, ``host:port``, several with commas between.
        topics: names of the topics, in the order they were given.
        format: what a record holds: one JSON event or one protobuf event.
        group: name under which offsets are committed for dashboards; that of the config when None.
        properties: file of further client properties, such as the credentials; may be None.
    """

    servers: str
    topics: tuple[str, ...]
    format: Format = "json"
    group: str | None = None
    properties: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads an address.

        Raises:
            ConfigError: naming the part that is wrong.
        """
        parts = urlsplit(text)
        if parts.scheme != "kafka":
            raise _bad(f"`{text}` does not begin with `{SCHEME}`")
        if "@" in parts.netloc:
            # Not repeated in the message: it may hold a password.
            raise ConfigError(
                "a Kafka address holds no user and no password",
                code="bad_address",
                hint="put them into a file of client properties and name it: ?properties=FILE",
            )
        servers = parts.netloc.split(",")
        for server in servers:
            match = _SERVER.fullmatch(server)
            if match is None or not 0 < int(match[2]) < 2**16:
                raise _bad(f"`{server}` is no host and port")
        topics = tuple(unquote(parts.path.removeprefix("/")).split(","))
        for topic in topics:
            if _TOPIC.fullmatch(topic) is None or topic in {".", ".."}:
                raise _bad(f"`{topic}` is no name of a topic")
        if len(set(topics)) < len(topics):
            raise _bad(f"`{','.join(topics)}` names a topic twice")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = sorted(set(options) - {"format", "group", "properties"})
        if unknown:
            raise _bad(f"`{unknown[0]}` is no option; there are `format`, `group`, `properties`")
        kind = options.get("format", "json")
        if kind not in _FORMATS:
            raise _bad(f"`{kind}` is no format; there are `json` and `protobuf`")
        if options.get("group") == "":
            raise _bad("`group` is empty")
        file = options.get("properties")
        return cls(
            ",".join(servers),
            topics,
            cast("Format", kind),
            options.get("group"),
            None if file is None else Path(file),
        )


def _bad(message: str) -> ConfigError:
    return ConfigError(message, code="bad_address", hint=_HINT)

"""Events: the one way in. `docs/events.md` describes every type; the Rust decoder checks them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from xfeed import _core
from xfeed.errors import EventError

SCHEMA_VERSION: Final = 1
"""Version of the event schema, the `v` of every event."""


class Event:
    """One checked event.

    Args:
        event_type: one of `Event.types()`, such as ``"post"``.
        at_ms: when it happened, in unix milliseconds; now when left out.
        **fields: the fields of that type, see `docs/events.md`.

    Raises:
        EventError: when a field is unknown, missing or outside what is allowed.

    Example:
        >>> Event("follow", at_ms=1_700_000_000_000, user_id=1, target_id="ann").payload
        b'{"type":"follow","at_ms":1700000000000,"user_id":1,"target_id":"ann"}'
    """

    __slots__ = ("payload",)

    payload: bytes
    """The event as one JSON line, without the line end."""

    def __init__(self, event_type: str, *, at_ms: int | None = None, **fields: Any) -> None:
        when = system_now_ms() if at_ms is None else at_ms
        self.payload = _encode({"type": event_type, "at_ms": when, **fields})
        _check(self.payload)

    @classmethod
    def parse(cls, line: bytes | str | Mapping[str, Any]) -> Event:
        """Reads one event from a JSON line or from a mapping.

        Raises:
            EventError: when it is not a valid event.
        """
        event = cls.__new__(cls)
        event.payload = to_payload(line)
        _check(event.payload)
        return event

    def to_dict(self) -> dict[str, Any]:
        """The event as a mapping."""
        decoded: dict[str, Any] = msgspec.json.decode(self.payload)
        return decoded

    @staticmethod
    def types() -> dict[str, dict[str, str]]:
        """Every event type with its fields and what each holds."""
        return {
            name: {
                field: what + (", required" if required else "") for field, what, required in rows
            }
            for name, rows in _core.event_schema()
            if name
        }

    def __repr__(self) -> str:
        return f"Event({self.payload.decode()})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self.payload == other.payload

    def __hash__(self) -> int:
        return hash(self.payload)


EventLike: TypeAlias = Event | Mapping[str, Any] | bytes | str
"""Whatever `Feed.ingest` takes as one event."""


def to_payload(event: EventLike) -> bytes:
    """The JSON line of `event`, unchecked: what is wrong with it is said when it is decoded."""
    if isinstance(event, Event):
        return event.payload
    if isinstance(event, bytes):
        return event.strip()
    if not isinstance(event, str | Mapping):
        raise EventError(
            f"{event!r} is a {type(event).__name__}, no event",
            code="not_json",
            hint="pass Event objects, mappings or JSON lines",
        )
    if isinstance(event, str):
        # A lone surrogate cannot be written as UTF-8; the decoder will name the line.
        return event.strip().encode("utf-8", "surrogatepass")
    return _encode(event)


def system_now_ms() -> int:
    """The system clock in unix milliseconds. Read at the border only, never by the engine."""
    return time.time_ns() // 1_000_000


def _encode(fields: Mapping[str, Any]) -> bytes:
    try:
        payload = msgspec.json.encode(dict(fields))
        if b"null" in payload:
            # NaN would be written as null, and an absent value is not what the caller meant.
            json.dumps(dict(fields), allow_nan=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise EventError(
            f"the event {dict(fields)!r} cannot be written as JSON: {error}",
            code="not_json",
            hint="use strings, integers, finite numbers, booleans, lists and None",
        ) from error
    return payload


def _check(payload: bytes) -> None:
    rejects = _core.decode_events([payload], system_now_ms()).rejects()
    if rejects:
        _, code, field, _, message = rejects[0]
        raise EventError(
            message, code=code, hint=f"see `{field or 'the schema'}` in docs/events.md"
        )

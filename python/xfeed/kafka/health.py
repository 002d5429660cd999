"""Is the state what it should be? Kept by the threads that do the work, asked by anybody."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xfeed.errors import XfeedError
    from xfeed.kafka.progress import Progress

MAX_SILENCE_SECS = 30.0
"""A thread that was not heard of for this long is taken for stuck."""


class Health:
    """Whether the threads live, what troubles them, and when a broker was last heard.

    Args:
        progress: how far every partition was applied.
        max_stale_secs: how long the state stays ready without a word from a broker.
    """

    def __init__(self, progress: Progress, max_stale_secs: float) -> None:
        self._lock = threading.Lock()
        self._progress = progress
        self._max_stale_secs = max_stale_secs
        self._beats: dict[str, float] = {}
        self._trouble: tuple[str, str] | None = None
        self._warnings: dict[str, str] = {}
        self._contact: float | None = None
        self._failure: XfeedError | None = None
        self._is_over = False

    @property
    def failure(self) -> XfeedError | None:
        """What ended the work; None while it goes on or when it was asked to stop."""
        return self._failure

    def beat(self, thread: str) -> None:
        """A thread says that it lives."""
        with self._lock:
            self._beats[thread] = time.monotonic()

    def hear(self, idle_secs: float = 0.0) -> None:
        """A broker was heard so many seconds ago."""
        heard = time.monotonic() - idle_secs
        with self._lock:
            self._contact = heard if self._contact is None else max(self._contact, heard)

    def trouble(self, code: str, message: str) -> None:
        """Reading cannot go on at present."""
        with self._lock:
            self._trouble = (code, message)

    def no_trouble(self) -> None:
        """Reading goes on."""
        with self._lock:
            self._trouble = None

    def warn(self, code: str, message: str | None) -> None:
        """Something went wrong that does not stop the work; None takes it back."""
        with self._lock:
            if message is None:
                self._warnings.pop(code, None)
            else:
                self._warnings[code] = message

    def fail(self, error: XfeedError) -> None:
        """The work is over, because of `error`; the first one stands."""
        with self._lock:
            self._failure = self._failure or error

    def end(self) -> None:
        """The work is over."""
        with self._lock:
            self._is_over = True

    def contact_age_secs(self) -> float | None:
        """How long ago a broker was last heard; None when none ever was."""
        with self._lock:
            return None if self._contact is None else time.monotonic() - self._contact

    def warnings(self) -> dict[str, str]:
        """What went wrong without stopping the work, by code."""
        with self._lock:
            return dict(self._warnings)

    def reasons(self) -> list[dict[str, str]]:
        """Why the state is not ready; empty when it is."""
        caught_up = self._progress.is_caught_up()
        age = self.contact_age_secs()
        now = time.monotonic()
        with self._lock:
            found = []
            if self._failure is not None:
                found.append((self._failure.code, str(self._failure)))
            elif self._is_over:
                found.append(("stopped", "ingest was stopped"))
            for thread, beat in self._beats.items():
                if not self._is_over and now - beat > MAX_SILENCE_SECS:
                    found.append(("stuck", f"the {thread} was last heard {now - beat:.0f} s ago"))
            if self._trouble is not None:
                found.append(self._trouble)
            if not caught_up:
                found.append(("catching_up", "not every partition was applied up to its end"))
            elif age is not None and age > self._max_stale_secs and self._trouble is None:
                found.append(("broker_away", f"no broker was heard for {age:.0f} s"))
        return [{"code": code, "message": message} for code, message in found]
